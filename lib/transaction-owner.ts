/** The context that a transaction belongs to, as far as its errors and its log speak of it. */
export interface TransactionOwner {
  /** Such as `POST /books`. */
  readonly name: string
  /** What became of it, once it has ended. */
  readonly outcome?: string | undefined
  /** Logs what has failed after the outcome was decided. */
  report (error: unknown, message: string): void
}
