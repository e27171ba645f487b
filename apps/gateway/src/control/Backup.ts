/**
 * Backups of a database in a file of SQLite. Those of PostgreSQL are the business of its own tools.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { chmodSync, existsSync, renameSync, rmSync } from "node:fs"
import { backup, DatabaseSync } from "node:sqlite"
import { migrations } from "./Migrations.ts"
import { isPostgres } from "./Sql.ts"

/** A backup was not made, or not restored. */
export class BackupFailed extends Data.TaggedError("BackupFailed")<{ readonly detail: string }> {
  override get message(): string {
    return this.detail
  }
}

const failed = (detail: string) => new BackupFailed({ detail })

const checkFile = (path: string): void => {
  if (isPostgres(path)) throw failed("The database is PostgreSQL: use pg_dump and pg_restore.")
}

// Throws if the file is not a sound database of a version that this program knows.
const check = (path: string): void => {
  const database = new DatabaseSync(path, { readOnly: true })
  try {
    const integrity = database.prepare("PRAGMA integrity_check").get()?.["integrity_check"]
    if (integrity !== "ok") throw failed(`${path} is damaged: ${String(integrity)}`)
    const rows = database.prepare("SELECT migration_id, name FROM paradigm_migration ORDER BY migration_id").all()
    const isKnown = rows.every(({ migration_id, name }, i) => migrations[i]?.[0] === migration_id && migrations[i]?.[1] === name)
    if (rows.length === 0 || !isKnown) throw failed(`${path} is of a newer version. Restore it with that version.`)
  } finally {
    database.close()
  }
}

const attempt = (what: string, run: () => Promise<void>): Effect.Effect<void, BackupFailed> =>
  Effect.tryPromise({
    try: run,
    catch: (error) =>
      error instanceof BackupFailed ? error : failed(`${what}: ${error instanceof Error ? error.message : "unknown error"}`)
  })

/** Copies the database into a file, while gateways use it. Only the owner of the file reads it. */
export const backupTo = (data: string, file: string): Effect.Effect<void, BackupFailed> =>
  attempt(`${data} cannot be copied to ${file}`, async () => {
    checkFile(data)
    if (!existsSync(data)) throw failed(`There is no database ${data}.`)
    const database = new DatabaseSync(data, { readOnly: true })
    try {
      await backup(database, file)
    } finally {
      database.close()
    }
    chmodSync(file, 0o600)
    const copy = new DatabaseSync(file)
    // One file, without the log of the original.
    copy.exec("PRAGMA journal_mode = DELETE")
    copy.close()
    check(file)
  })

/** Puts a backup in the place of the database. Gateways on it must be stopped. Replaces a database only by `force`. */
export const restoreFrom = (file: string, data: string, force: boolean): Effect.Effect<void, BackupFailed> =>
  attempt(`${file} cannot be restored to ${data}`, async () => {
    checkFile(data)
    if (!existsSync(file)) throw failed(`There is no backup ${file}.`)
    check(file)
    if (existsSync(data) && !force) throw failed(`${data} exists. Stop the gateways, and use --force to replace it.`)
    const beside = `${data}.restore`
    rmSync(beside, { force: true })
    const database = new DatabaseSync(file, { readOnly: true })
    try {
      await backup(database, beside)
    } finally {
      database.close()
    }
    chmodSync(beside, 0o600)
    for (const rest of ["-wal", "-shm"]) rmSync(data + rest, { force: true })
    renameSync(beside, data)
  })
