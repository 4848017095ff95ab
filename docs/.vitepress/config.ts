import { readFileSync } from 'node:fs'
import { defineConfig } from 'vitepress'
import llmstxt from 'vitepress-plugin-llms'
import { withMermaid } from 'vitepress-plugin-mermaid'
import { sidebar } from './sidebar.ts'

const REPOSITORY = 'https://github.com/fastify-context-orm/fastify-context-orm'

export default withMermaid(defineConfig({
  title: 'fastify-context-orm',
  description: 'A MikroORM unit of work for every Fastify request',
  // where it is served from, such as /fastify-context-orm/
  base: process.env.DOCS_BASE ?? '/',
  cleanUrls: true,
  // tables of three columns on a phone
  head: [['style', {}, '@media (max-width: 640px) { .vp-doc :is(th, td) { padding: 6px 8px; min-width: 7em } }']],
  // code has the place of an outline that would be empty
  transformPageData ({ filePath, frontmatter }) {
    const text = readFileSync(new URL(`../${filePath}`, import.meta.url), 'utf8')
    if (!/^##/m.test(text.replaceAll(/^```.*?^```$/gms, ''))) frontmatter.aside = false
  },
  // GitHub shows a folder's README.md, and a site its index
  rewrites: { 'cookbook/README.md': 'cookbook/index.md' },
  markdown: { anchor: { slugify: anchorOf } },
  // labels as SVG: the site's line height would cut off those that are HTML
  mermaid: { htmlLabels: false, flowchart: { htmlLabels: false }, themeVariables: { fontSize: '14px' } },
  // mermaid 11.17 draws whatever has its own class when a page has loaded: those that are not there yet would be errors
  mermaidPlugin: { class: 'diagram' },
  vite: {
    plugins: [llmstxt() as never],
    // as it is published: to bundle and minify it anew would take half of the build
    resolve: { alias: { mermaid: 'mermaid/dist/mermaid.esm.min.mjs' } },
    build: { chunkSizeWarningLimit: 3000 }
  },
  themeConfig: {
    search: { provider: 'local' },
    outline: [2, 3],
    nav: [
      { text: 'Quick start', link: '/quick-start' },
      { text: 'Guide', link: '/requests' },
      { text: 'Options', link: '/reference/options' },
      { text: 'Errors', link: '/reference/errors' },
      { text: 'API', link: '/api/' }
    ],
    sidebar: sidebar(new URL('..', import.meta.url)),
    socialLinks: [{ icon: 'github', link: REPOSITORY }],
    editLink: { pattern: `${REPOSITORY}/edit/HEAD/docs/:path` }
  }
}))

/** That of GitHub: links to an anchor work in both. */
function anchorOf (title: string): string {
  return title.trim().toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-')
}
