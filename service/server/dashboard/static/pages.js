// What pages do once they are there: follow jobs, draw curves, upload.

import { Charts, formatted, HUES, LineChart } from "./charts.js";

const POLL = 2000;

async function asked(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

function showJob(row, job) {
  const badge = row.querySelector("[data-state]");
  const state = job.cancelling && job.state === "running" ? "stopping" : job.state;
  if (badge.textContent !== state) { badge.textContent = state; badge.className = `badge ${job.state}`; }
  const told = row.querySelector("[data-progress-text]"), holder = row.querySelector("[data-progress]");
  const progress = job.progress;
  if (progress) told.textContent = `${formatted(progress.done)}${progress.total === null ? "" : ` of ${formatted(progress.total)}`} ${progress.unit}`;
  let bar = holder.querySelector("progress");
  if (progress && progress.share !== null) {
    if (!bar) { bar = document.createElement("progress"); bar.max = 1; bar.setAttribute("aria-label", "Progress"); holder.prepend(bar); }
    bar.value = progress.share;
  }
  const reason = row.querySelector("[data-reason]");
  if (reason) reason.textContent = job.reason;
}

function followTables() {
  const rows = [...document.querySelectorAll("[data-jobs] [data-job]")];
  if (!rows.length) return;
  const open = new Map(rows.filter((row) => ["queued", "running", "stopping"].includes(row.querySelector("[data-state]").textContent)).map((row) => [row.dataset.job, row]));
  const look = async () => {
    if (document.hidden || !open.size) return;
    for (const [id, row] of open) {
      try {
        const job = await asked(`/v1/jobs/${id}`);
        showJob(row, job);
        if (job.ended) open.delete(id);
      } catch { open.delete(id); }
    }
  };
  setInterval(look, POLL);
}

function showWhen(page, state) {
  for (const form of page.querySelectorAll("[data-when]")) form.hidden = !form.dataset.when.split(" ").includes(state);
}

function followJob() {
  const page = document.querySelector("[data-job-page]");
  if (!page) return;
  const id = page.dataset.jobPage, log = page.querySelector("[data-log]"), nothing = page.querySelector("[data-no-curves]");
  const command = page.querySelector("dd code").textContent;
  const charts = new Charts(page.querySelector("[data-charts]"), command.endsWith("train") ? "iteration" : "step");
  showWhen(page, page.querySelector("[data-state]").textContent);
  log.scrollTop = log.scrollHeight;
  const stream = new EventSource(`/v1/jobs/${id}/events?after=${page.dataset.place}`);
  let before = page.querySelector("[data-state]").textContent;
  stream.addEventListener("state", (event) => {
    const job = JSON.parse(event.data);
    showJob(page.querySelector(".status"), job);
    showWhen(page, job.state);
    if (job.ended && before !== job.state) listFiles(page, id);
    before = job.state;
  });
  stream.addEventListener("rows", (event) => {
    const { fresh, rows } = JSON.parse(event.data);
    if (fresh) charts.clear();
    const found = new Map();
    for (const { time, values } of rows) for (const [name, value] of Object.entries(values)) {
      if (!found.has(name)) found.set(name, []);
      found.get(name).push([time, value]);
    }
    for (const [name, points] of found) charts.add(name, points);
    if (found.size) nothing.hidden = true;
  });
  stream.addEventListener("log", (event) => {
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    log.textContent = (log.textContent + JSON.parse(event.data).text).slice(-200000);
    if (atEnd) log.scrollTop = log.scrollHeight;
  });
  for (const kind of ["end", "gone"]) stream.addEventListener(kind, () => { stream.close(); page.dataset.ended = "true"; });
}

function sized(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (bytes >= 1024 && unit < 4) { bytes /= 1024; unit += 1; }
  return `${unit ? bytes.toFixed(1) : bytes} ${units[unit]}`;
}

const SHOWN = /\.(html|png|jpg|txt|md|csv|yaml|json|jsonl)$/i;

async function listFiles(page, id) {
  const body = page.querySelector("[data-files] tbody");
  const rows = (await asked(`/v1/jobs/${id}/files`)).slice(0, 200).map((file) => {
    const row = document.createElement("tr"), path = file.path.split("/").map(encodeURIComponent).join("/");
    row.innerHTML = '<th scope="row"></th><td class="number"></td><td><a>Download</a></td>';
    const cell = row.querySelector("th");
    if (SHOWN.test(file.path)) {
      const link = document.createElement("a");
      link.href = `/v1/jobs/${id}/files/${path}`; link.textContent = file.path;
      cell.append(link);
    } else cell.textContent = file.path;
    row.querySelector("td").textContent = sized(file.bytes);
    row.querySelector("td a").href = `/v1/jobs/${id}/files/${path}?download=true`;
    row.querySelector("td a").setAttribute("aria-label", `Download ${file.path}`);
    return row;
  });
  if (rows.length) body.replaceChildren(...rows);
}

async function compare() {
  const items = [...document.querySelectorAll("[data-compared]")];
  if (!items.length) return;
  const charts = new Charts(document.querySelector("main [data-charts]"));
  const lasts = new Map(), names = [];
  for (const [index, item] of items.entries()) {
    const letter = "ABCDEFGH"[index], name = `${letter} ${item.dataset.name}`;
    const sign = item.querySelector(".letter");
    sign.textContent = letter;
    sign.style.setProperty("--hue", HUES[index]);
    names.push(name);
    const { curves } = await asked(`/v1/jobs/${item.dataset.compared}/curves`);
    for (const [series, points] of Object.entries(curves)) {
      charts.add(series, points, { letter, index });
      if (!lasts.has(series)) lasts.set(series, new Map());
      lasts.get(series).set(name, points[points.length - 1][1]);
    }
  }
  const table = document.querySelector("[data-last]");
  const row = (cells, kind) => {
    const made = document.createElement("tr");
    cells.forEach((text, column) => {
      const cell = document.createElement(kind === "head" || column === 0 ? "th" : "td");
      cell.textContent = text; cell.scope = kind === "head" ? "col" : "row";
      if (column) cell.className = "number";
      made.append(cell);
    });
    return made;
  };
  const head = document.createElement("thead"), body = document.createElement("tbody");
  head.append(row(["", ...names], "head"));
  for (const [series, of] of [...lasts].sort()) body.append(row([series, ...names.map((name) => formatted(of.get(name)))]));
  table.replaceChildren(head, body);
}

function followSystem() {
  const holder = document.querySelector("[data-system]");
  if (!holder) return;
  const drawn = document.querySelector("[data-load-charts]");
  const chart = drawn && new LineChart(drawn, { title: "Load", x: "seconds" });
  const begun = performance.now();
  const set = (label, value, told) => {
    const meter = holder.querySelector(`meter[aria-label="${label}"]`);
    if (!meter) return;
    meter.value = value; meter.textContent = told; meter.nextElementSibling.textContent = told;
  };
  const percent = (share) => `${Math.round(100 * share)}%`;
  setInterval(async () => {
    if (document.hidden) return;
    const system = await asked("/v1/system").catch(() => null);
    if (!system) return;
    set("Processor", system.load, percent(system.load));
    set("Memory", system.memory_used, percent(system.memory_used));
    set("Disk", system.disk_used, percent(system.disk_used));
    set("Cores of jobs", system.cores_taken / system.cores, `${system.cores_taken} of ${system.cores}`);
    if (system.gpus) set("GPUs of jobs", system.gpus_taken / system.gpus, `${system.gpus_taken} of ${system.gpus}`);
    set("Memory of jobs", system.memory_taken_gib / system.memory_gib, `${formatted(system.memory_taken_gib)} of ${formatted(system.memory_gib)} GiB`);
    if (chart) {
      const seconds = Math.round((performance.now() - begun) / 1000);
      chart.add("processor", [[seconds, 100 * system.load]]);
      chart.add("memory", [[seconds, 100 * system.memory_used]]);
    }
  }, POLL);
}

function followLive() {
  const page = document.querySelector("[data-live]");
  if (!page) return;
  const run = page.dataset.live, groups = JSON.parse(page.dataset.groups);
  const charts = new Charts(page.querySelector("[data-charts]"));
  const trouble = page.querySelector("[data-trouble]");
  let after = -1;
  const look = async () => {
    if (document.hidden && after >= 0) { setTimeout(look, POLL); return; }
    let more = false, ended = false;
    try {
      const events = await asked(`/v1/telemetry/runs/${run}/events?after=${after}&limit=1000`);
      const found = new Map();
      const put = (name, step, value) => { if (!found.has(name)) found.set(name, []); found.get(name).push([step, value]); };
      for (const event of events) {
        for (const [name, value] of Object.entries(event.values || {})) put(`train/${name}`, event.step, value);
        (event.learning_rates || []).forEach((rate, index) => put(`lr/${groups[index] || index}`, event.step, rate));
        (event.multipliers || []).forEach((factor, index) => put(`multiplier/${groups[index] || index}`, event.step, factor));
        if (event.trouble) { trouble.hidden = false; trouble.textContent = `Step ${event.step}: ${event.trouble}`; }
        after = event.number;
      }
      for (const [name, points] of found) charts.add(name, points);
      if (found.size) page.querySelector("[data-no-curves]").hidden = true;
      more = events.length === 1000;
      const told = await asked(`/v1/telemetry/runs/${run}`);
      page.querySelector("[data-told]").textContent = `${told.events} events`;
      ended = told.ended !== null && after + 1 >= told.events;
      if (told.ended !== null) { const badge = page.querySelector("[data-state]"); badge.textContent = "ended"; badge.className = "badge succeeded"; }
    } catch { /* the server is gone for now; the next look may find it */ }
    if (!ended) setTimeout(look, more ? 0 : POLL);
  };
  look();
}

function upload() {
  const form = document.querySelector("[data-upload]");
  if (!form) return;
  const told = form.querySelector("[data-told]"), bar = form.querySelector("progress");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const file = form.elements.file.files[0], name = form.elements.name.value;
    if (file.size > Number(form.dataset.most)) { told.textContent = `The archive has ${sized(file.size)}, more than is taken.`; return; }
    const request = new XMLHttpRequest();
    request.open("PUT", `/v1/uploads/${encodeURIComponent(name)}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    bar.hidden = false;
    request.upload.onprogress = (at) => { bar.value = at.loaded / at.total; told.textContent = at.loaded === at.total ? "Unpacking." : `${sized(at.loaded)} sent.`; };
    request.onload = () => {
      if (request.status === 201) { location.reload(); return; }
      let answer = {};
      try { answer = JSON.parse(request.responseText); } catch { /* not a problem of this server's */ }
      told.textContent = answer.detail || `refused with status ${request.status}`;
      bar.hidden = true;
    };
    request.onerror = () => { told.textContent = "The upload was cut off."; bar.hidden = true; };
    request.send(file);
  });
}

function confirmations() {
  for (const form of document.querySelectorAll("[data-confirm]")) form.addEventListener("submit", (event) => { if (!confirm(form.dataset.confirm)) event.preventDefault(); });
  document.querySelector("#wrong")?.focus();
}

followTables();
followJob();
compare();
followLive();
followSystem();
upload();
confirmations();
