import neostandard from 'neostandard'

const BROWSER = ['Blob', 'EventSource', 'URL', 'addEventListener', 'document', 'fetch', 'history', 'location', 'open', 'requestAnimationFrame']

export default [
  ...neostandard({ ts: true, ignores: ['dist/', '.tap/', 'docs/.vitepress/cache/', 'docs/.vitepress/dist/'] }),
  { files: ['lib/extensions/inspector/page/*.js'], languageOptions: { globals: Object.fromEntries(BROWSER.map(name => [name, 'readonly'])) } }
]
