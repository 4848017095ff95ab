import type { EngineName } from './database.ts'
import type { VariantName } from './variants/variants.ts'

export interface ServerOptions {
  variant: VariantName
  engine: EngineName
  databaseUrl: string
  /** Connections in the pool. */
  pool: number
}

/** Since the server has started. */
export interface Usage {
  requests: number
  cpuMicroseconds: number
  heldMs: number
}

/** What the parent asks, and what the server answers. */
export interface Answers {
  usage: Usage
  /** Bytes that are in use after a garbage collection. */
  heap: number
  /** Connections of clients. */
  clients: number
  /** Connections that are out of the pool. */
  taken: number
  /** Requests that wait at the gate. */
  waiting: number
  openGate: true
  /** Requests and EntityManagers that are in memory though they have been answered. */
  kept: number
}

export type Question = keyof Answers

export type Message = { type: 'listening', answer: string } | { [Q in Question]: { type: Q, answer: Answers[Q] } }[Question]
