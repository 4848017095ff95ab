/** The longest wait of a timer, in milliseconds: Node takes a longer one for none. */
export const MAX_TIMER_MS: number = 2 ** 31 - 1
