// SPDX-License-Identifier: MIT

/** Events with types: an `EventTarget` as the platform has it, of which the compiler knows what it dispatches. */

/** Listeners as functions or objects; see `EventTarget`. */
export interface Target<Events extends { [type in keyof Events]: Event }> extends EventTarget {
  addEventListener<Type extends keyof Events & string>(
    type: Type,
    listener: ((event: Events[Type]) => void) | { handleEvent(event: Events[Type]): void } | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<Type extends keyof Events & string>(
    type: Type,
    listener: ((event: Events[Type]) => void) | { handleEvent(event: Events[Type]): void } | null,
    options?: boolean | EventListenerOptions,
  ): void;
}

/** The platform's `EventTarget`, with the types of what it dispatches. */
export const Target: new <Events extends { [type in keyof Events]: Event }>() => Target<Events> =
  EventTarget as never;

/** Dispatches an event of this type that has these members. */
export function emit(target: EventTarget, type: string, members?: object): void {
  target.dispatchEvent(Object.assign(new Event(type), members));
}

/** Resolves with the next event of this type. */
export function next(target: EventTarget, type: string): Promise<Event> {
  return new Promise((resolve) => target.addEventListener(type, resolve, { once: true }));
}

/** All events of one type, as they come. Ends with `end`; at most `MAX_WAITING` wait to be taken, the oldest go first. */
export async function* eventsOf<T>(target: EventTarget, type: string, end: string): AsyncGenerator<T> {
  const waiting: Event[] = [];
  let wake = () => {};
  let over = false;
  const take = (event: Event) => {
    if (waiting.push(event) > MAX_WAITING) waiting.shift();
    wake();
  };
  const stop = () => {
    over = true;
    wake();
  };
  target.addEventListener(type, take);
  target.addEventListener(end, stop);
  try {
    for (;;) {
      const event = waiting.shift();
      if (event) yield event as T;
      else if (over) return;
      else await new Promise<void>((resolve) => wake = resolve);
    }
  } finally {
    target.removeEventListener(type, take);
    target.removeEventListener(end, stop);
  }
}

const MAX_WAITING = 1024;
