/** What runs in a context. It is in the public types, and so in a file that leads to nothing inside. */
export type Work<T> = () => T | Promise<T>
