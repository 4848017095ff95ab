import { Migration } from '@mikro-orm/migrations'

export class AddStock extends Migration {
  override up (): void {
    this.addSql('alter table book add column stock int not null default 3')
  }
}
