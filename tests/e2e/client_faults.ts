// Many calls through a proxy that plants faults; prints what came of them as JSON.
import { OutcomeUnknown, Twelvefold, TwelvefoldError, data } from "@twelvefold/client";

const setting = (name: string): string => process.env[name] ?? "";
const calls = Number(setting("CALLS"));
const [direct, shaken] = [setting("DIRECT"), setting("API")];
const PASSWORD = "correct horse battery staple";
const PATIENCE = Number(setting("PATIENCE")); // seconds
const POLICY = { maxTries: 10, budget: 300, maxWait: 2 };
// A PNG of one pixel; bytes after its end make each upload another one.
const PICTURE = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==",
  "base64",
);
const tally = { done: 0, unknown: {} as Record<string, number>, failed: [] as string[] };

const newUser = () => ({
  email: `faults.${crypto.randomUUID()}@example.com`,
  name: "Ada",
  password: PASSWORD,
});

async function openAccount(url: string) {
  const user = newUser();
  const plain = new Twelvefold(url, { timeout: 30 });
  await plain.api.POST("/api/v1/users", { body: user });
  const tokens = await plain.logIn(user.email, PASSWORD);
  const { image } = await plain.uploadImage(PICTURE);
  const client = new Twelvefold(shaken, { tokens, timeout: PATIENCE, retries: POLICY });
  return { user, plain, client, image: image.id, created: [] as string[], jobs: 1, deleted: 0 };
}

type Account = Awaited<ReturnType<typeof openAccount>>;
const OPERATIONS: [number, (account: Account, number: number) => Promise<unknown>][] = [
  [20, ({ client }) => client.api.GET("/api/v1/users/me")],
  [20, ({ client }) => client.api.GET("/api/v1/jobs", { params: { query: { limit: 5 } } })],
  [25, ({ client, image }) => client.api.GET("/api/v1/images/{image_id}", { params: { path: { image_id: image } } })],
  [15, ({ client }, number) => client.api.PATCH("/api/v1/users/me", {
    params: { header: { "if-match": "*" } },
    body: { name: `Ada ${number}` },
  })],
  [8, async (account) => {
    const payload = { image_id: account.image };
    await account.client.api.POST("/api/v1/jobs", { body: { type: "image.process", payload } });
    account.jobs += 1;
  }],
  [6, async (account) => {
    const { image } = await account.client.uploadImage(PICTURE);
    account.created.push(image.id);
    account.jobs += 1;
  }],
  [4, async (account) => {
    const id = account.created.pop();
    if (!id) return;
    await account.client.api.DELETE("/api/v1/images/{image_id}", { params: { path: { image_id: id } } });
    account.deleted += 1;
  }],
  [1, ({ client }) => client.api.POST("/api/v1/users", { body: newUser() })],
  [1, ({ user }) => new Twelvefold(shaken, { timeout: PATIENCE }).logIn(user.email, PASSWORD)],
];
const MIX = OPERATIONS.flatMap(([share, operation]) => Array.from({ length: share }, () => operation));

async function work(account: Account, first: number, step: number) {
  for (let number = first; number < calls; number += step) {
    try {
      await MIX[(number * 37) % MIX.length]?.(account, number);
      tally.done += 1;
    } catch (error) {
      if (error instanceof OutcomeUnknown) {
        tally.unknown[error.operation] = (tally.unknown[error.operation] ?? 0) + 1;
      } else if (error instanceof TwelvefoldError) tally.failed.push(String(error));
      else throw error;
    }
  }
}

async function count(items: AsyncIterable<unknown>): Promise<number> {
  let found = 0;
  for await (const _ of items) found += 1;
  return found;
}

const accounts: Account[] = [];
for (let number = 0; number < 8; number += 1) accounts.push(await openAccount(direct));
await Promise.all(accounts.map((account, index) => work(account, index, accounts.length)));
const effects = await Promise.all(
  accounts.map(async ({ plain, created, jobs }) => ({
    images: await count(plain.iterate("/api/v1/images", { limit: 100 })),
    expectedImages: 1 + created.length,
    jobs: await count(plain.iterate("/api/v1/jobs", { limit: 100 })),
    expectedJobs: jobs,
  })),
);
const health = await data(new Twelvefold(direct).api.GET("/health"));
console.log(JSON.stringify({ ...tally, effects, health: health.status }));
