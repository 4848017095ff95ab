import { Routine } from '@mikro-orm/core'
import { em, runInContext } from '../../index.ts'
import { createSandbox } from '../../testing.ts'
import { onEachDatabase } from '../support/databases.ts'

const twice = (body: string): Routine => new Routine({
  name: 'twice',
  type: 'function',
  params: { x: { type: 'int', runtimeType: 'number' } },
  returns: { runtimeType: 'number', columnType: 'int' },
  language: 'sql',
  body,
  bodyJs: ({ x }: { x: number }) => x * 2
})

onEachDatabase('routines can be called in a sandbox', async (t, { another, kind }) => {
  const Twice = twice(kind === 'mariadb' ? 'return x * 2' : 'select x * 2')
  const orm = await another({ routines: [Twice] })
  await orm.schema.update()
  await using sandbox = await createSandbox(orm)
  await sandbox.run(async () => {
    t.equal(await runInContext({ orm }, () => em().callRoutine(Twice, { x: 2 })), 4)
    t.equal(await sandbox.em.callRoutine(Twice, { x: 3 }), 6)
  })
})
