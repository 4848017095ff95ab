/** How long is waited for what may never come, in milliseconds. Tests of those waits have less of it. */
export const patience = {
  /** How often waits are looked at. */
  checkEvery: 1000,
  /** For a connection, while contexts around the one that waits hold others. */
  starvedPool: 30_000,
  /** For the connection of a sandbox in which nothing happens. */
  stuckSandbox: 4000,
  /** For the end of a savepoint in a sandbox in which something does. */
  openSavepoint: 30_000,
  /** For the connection that a sandbox begins on, while no other gives one back. */
  takenSandbox: 10_000,
  /** For contexts of a sandbox that have to settle before it ends. */
  sandboxEnd: 4000,
  /** For contexts that were aborted because the app closes. */
  close: 1000,
  /** For an answer of a replica, before it is asked whether it is there. */
  slowReplica: 100,
  /** For the answer to that, before it is left out. */
  silentReplica: 300,
  /** For the connection on which that is asked. */
  unconnectedReplica: 1000,
  /** For which a replica is left out. */
  leftOutReplica: 5000,
  /** Between two questions to a replica where it is, while somebody waits for it to be somewhere. */
  laggingReplica: 3
}
