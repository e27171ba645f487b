/**
 * Random numbers that a seed repeats, on every runtime.
 *
 * @since 0.1.0
 */

/**
 * A 32-bit hash of a text (FNV-1a).
 *
 * @example
 * import * as SeededRandom from "./SeededRandom.ts"
 *
 * SeededRandom.hash("a") === SeededRandom.hash("a") // true
 *
 * @category hashing
 * @since 0.1.0
 */
export const hash = (text: string): number => {
  let value = 0x811c9dc5
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193)
  return value >>> 0
}

/**
 * A source of numbers from 0 (inclusive) to 1 (exclusive).
 *
 * @category models
 * @since 0.1.0
 */
export type SeededRandom = () => number

/**
 * The source of a seed.
 *
 * @example
 * import * as SeededRandom from "./SeededRandom.ts"
 *
 * SeededRandom.make(7)() === SeededRandom.make(7)() // true
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (seed: number): SeededRandom => {
  // A 32-bit Weyl sequence with a mixing step.
  let state = seed | 0
  return () => {
    state = (state + 0x9e3779b9) | 0
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 0x1_0000_0000
  }
}
