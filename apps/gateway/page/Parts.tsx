/**
 * Parts that the sections share: lists in pages, dialogs, and the state of a request.
 */
import type { ComponentChildren } from "preact"
import { useCallback, useEffect, useId, useRef, useState } from "preact/hooks"
import { type Page, pathOf, Refused, send } from "./AdminClient.ts"

/** A time in the reader's zone. */
export const Time = ({ at }: { readonly at: number | null }) =>
  at === null ? <>—</> : <time dateTime={new Date(at).toISOString()}>{new Date(at).toLocaleString()}</time>

/** An error, read out when it appears. */
export const Problem = ({ error }: { readonly error: unknown }) =>
  error === undefined ? null : (
    <p role="alert" class="problem">
      {error instanceof Error ? error.message : "The page failed."}
    </p>
  )

/** A list that is searched on the server and read page by page. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the API's schemas check the items
export const useList = <Item,>(path: string, parameters: Record<string, string | undefined> = {}) => {
  const [items, setItems] = useState<ReadonlyArray<Item>>([])
  const [next, setNext] = useState<string | null>(null)
  const [error, setError] = useState<unknown>(undefined)
  const key = JSON.stringify(parameters)
  const latest = useRef(0)
  const load = useCallback(
    async (after?: string) => {
      const turn = ++latest.current
      try {
        const page = await send<Page<Item>>("GET", pathOf(path, { ...(JSON.parse(key) as typeof parameters), after }))
        if (turn !== latest.current) return
        setItems((before) => (after === undefined ? page.items : [...before, ...page.items]))
        setNext(page.next)
        setError(undefined)
      } catch (failure) {
        if (turn === latest.current) setError(failure)
      }
    },
    [path, key]
  )
  useEffect(() => void load(), [load])
  return { items, next, error, reload: () => load(), more: () => load(next ?? undefined) }
}

/** A section with a list: its heading, what a reader searches and makes, its table, and its next page. */
export const ListSection = ({
  children,
  columns,
  error,
  id,
  list,
  make,
  notice,
  search,
  title
}: {
  readonly id: string
  readonly title: string
  readonly list: { readonly next: string | null; readonly more: () => void; readonly error: unknown }
  readonly columns: ReadonlyArray<string>
  /** The rows of the table. */
  readonly children: ComponentChildren
  /** What is shown above the list. */
  readonly notice?: ComponentChildren
  /** What an action of the section failed with. */
  readonly error?: unknown
  readonly search?: { readonly value: string; readonly onInput: (text: string) => void }
  /** The button that makes an object, for who may. */
  readonly make?: { readonly label: string; readonly onClick: () => void } | undefined
}) => (
  <section aria-labelledby={id}>
    <h2 id={id}>{title}</h2>
    {notice}
    <search>
      {search === undefined ? null : (
        <label>
          Search <input type="search" value={search.value} onInput={({ currentTarget }) => search.onInput(currentTarget.value)} />
        </label>
      )}
      {make === undefined ? null : (
        <button type="button" class="main" onClick={make.onClick}>
          {make.label}
        </button>
      )}
    </search>
    <Problem error={error ?? list.error} />
    <Table columns={columns}>{children}</Table>
    {list.next === null ? null : (
      <button type="button" onClick={list.more}>
        Show more
      </button>
    )}
  </section>
)

/** A table with the names of its columns. */
export const Table = ({ children, columns }: { readonly columns: ReadonlyArray<string>; readonly children: ComponentChildren }) => (
  <table>
    <thead>
      <tr>
        {columns.map((name) => (
          <th key={name} scope="col">
            {name}
          </th>
        ))}
      </tr>
    </thead>
    <tbody>{children}</tbody>
  </table>
)

/** Asks again, for something that cannot be undone. */
export const ask = (question: string): boolean => window.confirm(question)

/** Runs an action; asks whether to force it if others depend on the object. */
export const withForce = async (run: (force: boolean) => Promise<unknown>): Promise<void> => {
  try {
    await run(false)
  } catch (error) {
    if (!(error instanceof Refused && error.canForce && ask(`${error.message}\n\nDo it nevertheless?`))) throw error
    await run(true)
  }
}

/** A dialog with a form. */
export const FormDialog = ({
  children,
  onClose,
  onSubmit,
  submit,
  title
}: {
  readonly title: string
  readonly submit: string
  readonly children: ComponentChildren
  readonly onSubmit: (data: FormData) => Promise<void>
  readonly onClose: () => void
}) => {
  const dialog = useRef<HTMLDialogElement>(null)
  const [error, setError] = useState<unknown>(undefined)
  const [isBusy, setBusy] = useState(false)
  useEffect(() => dialog.current?.showModal(), [])
  return (
    <dialog ref={dialog} onClose={onClose} aria-labelledby="dialog-title">
      <form
        onSubmit={async (event) => {
          event.preventDefault()
          setBusy(true)
          try {
            await onSubmit(new FormData(event.currentTarget))
            dialog.current?.close()
          } catch (failure) {
            setError(failure)
            setBusy(false)
          }
        }}
      >
        <h2 id="dialog-title">{title}</h2>
        {children}
        <Problem error={error} />
        <div class="buttons">
          <button type="button" onClick={() => dialog.current?.close()}>
            Cancel
          </button>
          <button type="submit" class="main" disabled={isBusy}>
            {submit}
          </button>
        </div>
      </form>
    </dialog>
  )
}

/** A field of a form. */
export const Field = ({
  hint,
  label,
  name,
  ...input
}: {
  readonly label: string
  readonly name: string
  readonly hint?: string
  readonly value?: string | number
  readonly type?: string
  readonly required?: boolean
  readonly min?: number
}) => {
  const id = useId()
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {/* The attributes of an input depend on its type, which is not known here. */}
      <input id={id} name={name} autocomplete="off" aria-describedby={`${id}-hint`} {...(input as { readonly type: "text" })} />
      <small id={`${id}-hint`}>{hint}</small>
    </div>
  )
}

/** The text of a field, without spaces around it; `undefined` if it is empty. */
export const textOf = (data: FormData, name: string): string | undefined => {
  const value = data.get(name)
  return typeof value === "string" && value.trim() !== "" ? value.trim() : undefined
}

/** Names that a field separates by commas. */
export const namesOf = (data: FormData, name: string): ReadonlyArray<string> =>
  (textOf(data, name) ?? "")
    .split(",")
    .map((text) => text.trim())
    .filter((text) => text !== "")
