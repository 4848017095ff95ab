/** Loaded first in each process of tests, by `--stalls`: stops it at random, as a busy machine does. */
const STALL_MS = { least: 150, more: 200 }
const BETWEEN_MS = 120

const cell = new Int32Array(new SharedArrayBuffer(4))

function stallLater (): void {
  setTimeout(() => {
    Atomics.wait(cell, 0, 0, STALL_MS.least + Math.random() * STALL_MS.more)
    stallLater()
  }, Math.random() * BETWEEN_MS).unref()
}

if (/\.test\.[cm]?ts$/.test(process.argv[1] ?? '')) stallLater()
