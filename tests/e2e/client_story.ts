// An account's life by the client, with what must be an exception; prints what came of it as JSON.
import {
  ApiProblem, TokenRefused, Twelvefold, data,
} from "@twelvefold/client";
import { fromFile } from "@twelvefold/client/node";

async function thrown(call: () => Promise<unknown>): Promise<string> {
  try {
    await call();
    return "nothing";
  } catch (error) {
    if (error instanceof ApiProblem) return error.code;
    if (error instanceof TokenRefused) return error.error;
    return error instanceof Error ? error.name : "?";
  }
}

const url = process.env["API"] ?? "";
const [email, password] = [`ts.${crypto.randomUUID()}@example.com`, "correct horse battery staple"];
const picture = () => fromFile(process.env["PICTURE"] ?? "");
const client = new Twelvefold(url);
await client.api.POST("/api/v1/users", { body: { email, name: "Ada", password } });
const tokens = await client.logIn(email, password);
const { image, job } = await client.uploadImage(await picture());
const states: string[] = [];
for await (const event of client.watchJob(job.id)) states.push(event.job.status);
const avatar = await client.waitForJob((await client.uploadAvatar(await picture())).id);
const listed: string[] = [];
for await (const found of client.iterate("/api/v1/images", { limit: 1 })) listed.push(found.id);
let pairs = 0;
const stale = { ...tokens, access: "of-yesterday" };
const resumed = new Twelvefold(url, { tokens: stale, onTokens: (pair) => { pairs += pair ? 1 : 0; } });
const together = await Promise.all(
  [1, 2, 3, 4].map(() => data(resumed.api.GET("/api/v1/users/me"))),
);
await resumed.logOut();
console.log(JSON.stringify({
  state: states.at(-1),
  avatar: avatar.status,
  variant: await thrown(() => client.imageUrl(image.id, "128")),
  listed: listed.length,
  renewals: together.every((me) => me.email === email) ? pairs : "another account",
  missing: await thrown(() => new Twelvefold(url).api.GET("/api/v1/users/me")),
  ended: await thrown(() => client.api.GET("/api/v1/jobs")),
  refused: await thrown(() => new Twelvefold(url).logIn(email, "wrong horse battery")),
}));
