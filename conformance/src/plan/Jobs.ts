/**
 * Runs the items of a plan, several at once.
 *
 * @since 0.1.0
 */

/**
 * Runs `work` on each item, on at most `jobs` at once, started in order. Yields results as they come.
 *
 * @category running
 * @since 0.1.0
 */
export async function* run<I, R>(items: Iterable<I>, jobs: number, work: (item: I) => Promise<R>): AsyncGenerator<R> {
  const running = new Map<number, Promise<readonly [at: number, result: R]>>()
  const next = async () => {
    const [at, result] = await Promise.race(running.values())
    running.delete(at)
    return result
  }
  let at = 0
  for (const item of items) {
    const own = at++
    running.set(
      own,
      work(item).then((result) => [own, result] as const)
    )
    if (running.size >= jobs) yield await next()
  }
  while (running.size > 0) yield await next()
}
