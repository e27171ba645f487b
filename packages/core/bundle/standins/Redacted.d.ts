/** A value of Effect that hides a secret. */
export interface Redacted<out A = string> {
  readonly "~effect/Redacted": { readonly _A: (_: never) => A }
}
