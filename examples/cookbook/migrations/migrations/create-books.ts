import { Migration } from '@mikro-orm/migrations'

export class CreateBooks extends Migration {
  override up (): void {
    this.addSql('create table author (id serial primary key, name varchar(255) not null unique)')
    this.addSql('create table book (id serial primary key, title varchar(255) not null unique, author_id int null references author (id))')
  }
}
