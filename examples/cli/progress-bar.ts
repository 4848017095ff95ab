import { SingleBar } from 'cli-progress'
import { stat } from 'node:fs/promises'
import { ImportError } from './errors.ts'
import type { Progress } from './import.ts'

/** On stderr: in a terminal a bar, otherwise a line every few seconds. */
export class ProgressBar {
  readonly #size: number
  readonly #bar = new SingleBar({ format: '{bar} {percentage}% | {rows} rows | {eta_formatted} left', noTTYOutput: true })
  #isStarted = false

  private constructor (size: number) {
    this.#size = size
  }

  /** For the file, of which it must know the size. */
  static async of (file: string): Promise<ProgressBar> {
    try {
      const found = await stat(file)
      if (found.isFile()) return new ProgressBar(found.size)
    } catch (error: any) {
      throw new ImportError(error.code === 'ENOENT' ? `There is no file ${file}` : `${file} cannot be read: ${error.message}`)
    }
    throw new ImportError(`${file} is not a file`)
  }

  readonly show = ({ rows, bytes }: Progress): void => {
    if (this.#isStarted) this.#bar.update(bytes, { rows })
    else this.#bar.start(this.#size, bytes, { rows })
    this.#isStarted = true
  }

  /** All of the file has been read. */
  complete (): void {
    this.#bar.update(this.#size)
    this.stop()
  }

  stop (): void {
    if (this.#isStarted) this.#bar.stop()
  }
}
