/** An error with a plain JSON form. */
export interface YieldableError extends Error {
  toJSON(): unknown
}
