/** The argument of a constructor, which may be left out if no member is required. */
export type VoidIfEmpty<S> = keyof S extends never ? void : S
