import type { TestDatabase } from './databases.ts'
import { BLOCK_REGISTER, CREATE_VERSIONS, hold } from './delayed-commits.ts'

/** How a database refuses the commit of whatever has written a review of book 99. */
interface Refusal {
  /** Of the exception. */
  name: string
  /** Of a reply. */
  status: number
}

/** By what a deferred constraint says. MariaDB has none, and refuses a commit that does not get a lock in time. */
export async function refuseCommits ({ orm, another, kind }: Pick<TestDatabase, 'orm' | 'another' | 'kind'>): Promise<Refusal> {
  const { em } = orm
  if (kind !== 'mariadb') {
    await em.fork().execute('create table review (book_id int, foreign key (book_id) references book (id) deferrable initially deferred)')
    return { name: 'ForeignKeyConstraintViolationException', status: 409 }
  }
  await em.fork().execute('create table review (book_id int)')
  await em.fork().execute(CREATE_VERSIONS)
  await em.fork().execute(`create trigger refuse after insert on review for each row begin
    set innodb_lock_wait_timeout = 0;
    insert into version () values ();
  end`)
  await hold(await another(), BLOCK_REGISTER)
  return { name: 'LockWaitTimeoutException', status: 503 }
}
