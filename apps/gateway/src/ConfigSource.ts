/**
 * The text of a configuration: its values, and the lines where they are.
 */
import { isNode, LineCounter, parseDocument } from "yaml"

/** Where something is in a document. */
export type Path = ReadonlyArray<string | number>

/** A YAML document, which JSON is too, with the lines of its nodes. */
export class ConfigSource {
  readonly value: unknown
  readonly problems: Array<string>
  readonly #document: ReturnType<typeof parseDocument>
  readonly #lines = new LineCounter()

  constructor(text: string) {
    this.#document = parseDocument(text, { lineCounter: this.#lines, uniqueKeys: true, prettyErrors: false })
    this.problems = this.#document.errors.map(({ message, pos: [start] }) => {
      const { col, line } = this.#lines.linePos(start)
      return `line ${line}, column ${col}: ${/keys must be unique/.test(message) ? "the name is there twice" : message}`
    })
    this.value = this.problems.length > 0 ? undefined : this.#document.toJS({ maxAliasCount: 100 })
  }

  /** A problem with its line and path. */
  at(path: Path, problem: string): string {
    let end = path.length
    let node: unknown
    for (; end >= 0 && node === undefined; end--) node = this.#document.getIn(path.slice(0, end), true)
    const start = isNode(node) ? node.range?.[0] : undefined
    const place = start === undefined ? "" : `line ${this.#lines.linePos(start).line}: `
    return `${place}${path.length === 0 ? "" : `${path.join(" → ")}: `}${problem}`
  }
}
