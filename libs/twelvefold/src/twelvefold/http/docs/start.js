"use strict";
// The page /docs: Swagger UI in the browser's colours, with two controls of its own.

const KEEP = "twelvefold.docs.keep"; // whether the user asked to keep the authorisation
const AUTHORIZED = "authorized"; // where Swagger UI keeps it
const keep = document.getElementById("keep");
const demo = document.getElementById("demo");
const told = document.getElementById("told");

const dark = matchMedia("(prefers-color-scheme: dark)");
function followScheme() {
  document.documentElement.classList.toggle("dark-mode", dark.matches);
}
followScheme();
dark.addEventListener("change", followScheme);

keep.checked = localStorage.getItem(KEEP) === "yes";
const ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  filter: true,
  persistAuthorization: keep.checked,
  showExtensions: true,
  validatorUrl: null,
  onComplete: offerDemo,
});

function keepAuthorization() {
  ui.getConfigs().persistAuthorization = keep.checked;
  if (!keep.checked) {
    localStorage.removeItem(KEEP);
    localStorage.removeItem(AUTHORIZED);
    return;
  }
  localStorage.setItem(KEEP, "yes");
  localStorage.setItem(AUTHORIZED, JSON.stringify(ui.authSelectors.authorized().toJS()));
}
keep.addEventListener("change", keepAuthorization);

// Only a suite on this machine has a demo account; elsewhere the answer is 404.
async function offerDemo() {
  const response = await fetch("docs/demo.json");
  if (!response.ok) return;
  const account = await response.json();
  demo.hidden = false;
  demo.addEventListener("click", () => logIn(account));
}

async function logIn({ email, password }) {
  told.textContent = "Logging in …";
  const body = new URLSearchParams({ grant_type: "password", username: email, password });
  const response = await fetch("api/v1/auth/token", { method: "POST", body });
  if (!response.ok) {
    told.textContent = `The login failed (${response.status}).`;
    return;
  }
  const { access_token: token, expires_in: seconds } = await response.json();
  ui.preauthorizeApiKey("bearer", token);
  told.textContent = `Logged in as ${email} for ${Math.round(seconds / 60)} minutes.`;
}
