/** A core for the server and another for the load: what one takes is not to depend on where the other runs. */

export const SERVER_CORE = 0;
export const LOAD_CORE = 1;

let taskset: Promise<boolean> | undefined;

/** Whether processes can be given a core of their own: on Linux with two or more. */
function hasTaskset(): Promise<boolean> {
  return taskset ??= navigator.hardwareConcurrency < 2
    ? Promise.resolve(false)
    : new Deno.Command("taskset", { args: ["--version"], stdout: "null", stderr: "null" }).output()
      .then(({ success }) => success, () => false);
}

/** What stands in front of a command that is to have the core of that number alone, where that can be. */
export async function pinned(core: number): Promise<readonly string[]> {
  return await hasTaskset() ? ["taskset", "-c", String(core)] : [];
}

/** The same for a process that runs already. */
export async function pin(pid: number, core: number): Promise<void> {
  if (!await hasTaskset()) return;
  await new Deno.Command("taskset", {
    args: ["-acp", String(core), String(pid)],
    stdout: "null",
    stderr: "null",
  }).output();
}
