/** How long what is held, and by which clock. All in milliseconds. */

/** A node shows that it lives so often. */
export const BEAT_MS = 2000;

/**
 * A node that has not shown it for that long, by the engine's clock, is dead: its members are gone. Only a node whose
 * own beats were unbroken for as long may say so; after the engine itself has stood still nobody may, for a while.
 */
export const LIFE_MS = 8000;

/** Members of a dead node that are removed in one step, so that nobody waits for long. */
export const REAP_AT_ONCE = 200;

/** Without a sign from its own inbox for that long a node is cut off. */
export const DEAF_MS = 2.5 * BEAT_MS;
