import type { Explained } from './compare.ts'

/** MikroORM's tests that fail in a context and not outside of it, for another reason than when a flush is committed. */
export const differences: Explained[] = [
  {
    why: 'it writes without a flush, which begins the transaction of the context, and counts statements afterwards',
    tests: {
      'tests/features/composite-keys/composite-keys.sqlite.test.ts': ['composite keys in sqlite > composite key in em.create()'],
      'tests/features/custom-types/GH6206.test.ts': ['basic CRUD example'],
      'tests/features/embeddables/nested-embeddables.postgres.test.ts': [
        'embedded entities in postgres > em.insert with nested embedded arrays (GH #7233)',
        'embedded entities in postgres > upsert and flush update with nested embedded arrays (GH #7233)'
      ],
      'tests/features/generated-columns/GH6103.test.ts': ['6103'],
      'tests/features/multiple-schemas/multiple-schemas.postgres.test.ts': ['multiple connected schemas in postgres > use different schema via options in em.insert/Many'],
      'tests/features/sharing-column-in-composite-fk/GH6359.test.ts': ['Query 1'],
      'tests/features/single-table-inheritance/GH5224.test.ts': ['optimistic locks and STI'],
      'tests/features/upsert/GH3667.test.ts': ['GH issue 3667'],
      'tests/features/upsert/GH3787-2.test.ts': [
        'JSON serialization with upsert',
        'JSON serialization with upsertMany',
        'upsertMany with managed entity calls assign'
      ],
      'tests/features/upsert/GH4020.test.ts': ['GH issue 4020'],
      'tests/issues/GH5510.test.ts': ['should merge all changes of one record into one sql update statement'],
      'tests/issues/GH5527.test.ts': ['should always use optimistic locking query when version column is defined'],
      'tests/issues/GH7475.test.ts': ['GH #7475 - nativeInsert with null composite FK']
    }
  },
  {
    why: 'it writes without a flush, and looks from outside before the commit: with an EntityManager of its own, or as the schema generator does',
    tests: {
      'tests/features/stored-routines/postgres.test.ts': ['stored routines — PostgreSQL > em.callRoutine invokes a procedure with INOUT param via ScalarReference'],
      'tests/features/view-entities/view-entities.postgres.test.ts': ['View entities (postgres) > updateSchema detects removed views'],
      'tests/issues/GH4472.test.ts': ['multiple connected schemas in postgres > #5456']
    }
  },
  {
    why: 'it wants to be outside of a transaction, and what it calls begins that of the context, as it may write',
    tests: {
      'tests/features/stored-routines/postgres.test.ts': [
        'stored routines — PostgreSQL > multi-result-set procedure throws with a helpful message when called outside a transaction'
      ]
    }
  },
  {
    why: 'it writes without a flush, and goes on with an EntityManager of its own, which waits: for the one connection of SQLite, or for a lock',
    tests: {
      'tests/features/embeddables/GH3906.test.ts': ['null value instead of object inside embedded property'],
      'tests/features/upsert/GH5668.postgres.test.ts': ['5668'],
      'tests/features/upsert/GH5668.test.ts': ['5668'],
      'tests/features/upsert/GH7399.test.ts': [
        'GH #7399 - upsert of existing row does not overwrite onCreate values (plain data)',
        'GH #7399 - upsert of existing row does not overwrite onCreate values (entity instance)'
      ],
      'tests/features/upsert/upsert-where-condition.postgres.test.ts': [
        'upsert with where condition > upsert should only update when version is greater',
        'upsert with where condition > upsert should reload a suppressed entity with onConflictMergeFields (GH #7775)',
        'upsert with where condition > upsertMany should reload suppressed entities in a partially-suppressed batch (GH #7775)',
        'upsert with where condition > upsertMany should work with where condition'
      ],
      'tests/features/view-entities/view-entities.postgres.test.ts': ['View entities (postgres) > view in custom schema'],
      'tests/issues/GH3820.test.ts': ["relations' orderBy should be respected when using LoadStrategy.JOINED"]
    }
  },
  {
    why: 'it lets a statement or a flush fail and goes on: after that, a context sends and commits nothing more',
    tests: {
      'tests/features/check-constraint.test.ts': ['check constraint > should throw on invalid check constraint'],
      'tests/features/composite-keys/composite-keys.sqlite.test.ts': ['composite keys in sqlite > batch updates with optimistic locking'],
      'tests/features/composite-keys/nested-composite-key-optimistic-lock.sqlite.test.ts': ['batch update with optimistic locking on a nested composite key'],
      'tests/features/concurrency-checks/concurrency-checks.postgre.test.ts': [
        'optimistic locking - concurrency check (postgres) > throws when someone changed the state in the meantime',
        'optimistic locking - concurrency check (postgres) > throws when someone changed the state in the meantime (batch update)'
      ],
      'tests/features/embeddables/nested-embeddables.postgres.test.ts': ['embedded entities in postgres > unique constraints']
    }
  },
  {
    why: 'it has disableTransactions: true, which a context refuses',
    tests: {
      'tests/features/disable-transactions/disable-transactions.test.ts': [
        'should skip transactions completely',
        'should skip transactions completely (begin/commit/rollback',
        'no rollback as transactions are disabled',
        'should handle rollback in no-op transaction'
      ]
    }
  },
  {
    why: 'it counts statements, and the outermost em.transactional() is a savepoint in a context',
    tests: {
      'tests/features/disable-transactions/disable-nested-transactions.test.ts': [
        'should only commit once',
        'should handle rollback in real transaction',
        'should handle rollback in no-op transaction'
      ],
      'tests/features/auto-flush.postgre.test.ts': [
        'automatic flushing when querying for overlapping entities via em.find/One > em.transactional() supports flushMode option'
      ],
      'tests/issues/GH3360.test.ts': ['GH 3360'],
      'tests/issues/GHx19.test.ts': ['pagination and "for update" lock']
    }
  },
  {
    why: 'it counts statements, and a flush that reads first begins its transaction after that',
    tests: {
      'tests/features/concurrency-checks/concurrency-checks.postgre.test.ts': [
        'optimistic locking - concurrency check (postgres) > should compare original to database value on entity update (batch update)'
      ]
    }
  },
  {
    why: 'it counts the statements of flushes that a find begins by itself, in parallel with others: a commit after each of them would be in their way',
    tests: {
      'tests/features/auto-flush.postgre.test.ts': [
        'automatic flushing when querying for overlapping entities via em.find/One > changes to managed entities are detected automatically',
        'automatic flushing when querying for overlapping entities via em.find/One > QB triggers auto-flushing',
        'automatic flushing when querying for overlapping entities via em.find/One > em.find() triggers auto-flush when STI entity changed'
      ]
    }
  },
  {
    why: 'it counts statements, and what it has flushed makes MikroORM write something more in the next flush, outside of a context as well',
    tests: {
      'tests/issues/GH1278.test.ts': ['GH issue 1278 > GH issue 1278'],
      'tests/issues/GH2703.test.ts': ['GH issue 2703']
    }
  },
  {
    why: 'it counts how often its accessors are called, and a context looks at entities more often: whether anything is left to flush',
    tests: {
      'tests/features/accessors/accessors.test.ts': [
        'accessors with opaque backing property ([Function User12]) > working with accessors',
        'accessors with opaque backing property ([Function User23]) > working with accessors'
      ]
    }
  }
]
