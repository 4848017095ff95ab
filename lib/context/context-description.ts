/** What the events say of a context. */
export interface ContextDescription {
  /** No other context of the process has it. */
  id: number
  /** A request, a `runInContext()`, or one inside of another context. */
  kind: 'request' | 'run' | 'branch'
  /** The method of a request. */
  method?: string | undefined
  /** The route of a request, with its parameters unfilled; `undefined` where no route was found. */
  route?: string | undefined
  /** The name of a `runInContext()`. */
  name?: string | undefined
  /** The id of the request, or of the one that it is part of. */
  requestId?: string | undefined
}
