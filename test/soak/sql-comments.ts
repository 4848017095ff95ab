import pg from 'pg'

/**
 * Does to pg's queries what tools do that add a comment to each, such as OpenTelemetry's: sends a copy that has another
 * text. One in two, for what is sent without such a tool has to be right as well.
 */
export function commentQueries (): void {
  const { query } = pg.Client.prototype
  let count = 0
  pg.Client.prototype.query = function (this: pg.Client, ...[first, ...rest]: any[]) {
    return Reflect.apply(query, this, [count++ % 2 === 0 ? first : withComment(first), ...rest])
  } as typeof query
}

function withComment (query: unknown): unknown {
  if (typeof query === 'string') return query + COMMENT
  const { text } = query as { text?: unknown }
  return typeof text === 'string' ? { ...query as object, text: text + COMMENT } : query
}

const COMMENT = ' /*route=\'soak\'*/'
