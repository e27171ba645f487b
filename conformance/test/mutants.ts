import kills from "./mutants.json" with { type: "json" }

/** Every bug that the reference client can be given, and a case that has to catch it. `mutants.json` lists them by bug; each case is named there. */
export const mutants: ReadonlyArray<readonly [bug: string, caughtBy: string]> = Object.entries(
  kills as Readonly<Record<string, ReadonlyArray<string>>>
).flatMap(([bug, ids]) => ids.map((id) => [bug, id] as const))
