interface Row {
  key: string
  nonce: string
}

/** What clients were told, and what therefore has to be in the table. */
export class KeyLedger {
  /** The replies to each key, byte for byte; none as long as nobody was told that it is done. */
  readonly #replies = new Map<string, Set<string>>()
  readonly problems: string[] = []
  attempts = 0
  /** Requests that were answered with success. */
  done = 0
  replays = 0

  noteSent (key: string): void {
    this.attempts++
    if (!this.#replies.has(key)) this.#replies.set(key, new Set())
  }

  noteDone (key: string, reply: string, isReplay: boolean): void {
    this.done++
    if (isReplay) this.replays++
    this.#replies.get(key)!.add(reply)
  }

  noteProblem (problem: string): void {
    this.problems.push(problem)
  }

  get keys (): number {
    return this.#replies.size
  }

  compare (rows: Row[]): string[] {
    const written = Map.groupBy(rows, ({ key }) => key)
    const strangers = [...written.keys()].filter(key => !this.#replies.has(key)).map(key => `${key}: nobody has sent it`)
    return [...this.problems, ...strangers, ...[...this.#replies].flatMap(([key, replies]) => {
      const nonces = (written.get(key) ?? []).map(({ nonce }) => nonce)
      if (replies.size > 1) return [`${key}: ${replies.size} different replies`]
      if (nonces.length > 1) return [`${key}: written ${nonces.length} times`]
      if (replies.size === 1 && ![...replies][0]!.includes(nonces[0] ?? 'nothing')) return [`${key}: the reply was ${[...replies][0]}, and there is ${nonces[0] ?? 'nothing'}`]
      return []
    })]
  }
}
