// Readout on the timelines: a crosshair in every chart at once, and the values under it. Without scripts the page
// shows the same figures in words; nothing here is needed to read it.
"use strict";
(() => {
  const summary = JSON.parse(document.getElementById("summary").textContent);
  const times = summary.timeline.at_secs;
  const panels = [...document.querySelectorAll("figure[data-track]")].map((figure) => {
    const svg = figure.querySelector("svg");
    const [, low, high, left, right] = svg.dataset.x.split(" ").map(Number);
    const cross = document.createElementNS("http://www.w3.org/2000/svg", "path");
    cross.setAttribute("class", "cross");
    const clock = document.createElementNS("http://www.w3.org/2000/svg", "text");
    clock.setAttribute("class", "cross-clock");
    clock.setAttribute("text-anchor", "middle");
    clock.setAttribute("y", "214");
    svg.append(cross, clock);
    const readout = figure.querySelector(".readout");
    return {
      svg, cross, clock, readout, low, high, left, right,
      resting: [...readout.childNodes],
      track: summary.timeline.tracks[Number(figure.dataset.track)],
    };
  });
  let shown = -1;

  const digits = (value) => value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0);
  const millis = (ms) => {
    if (ms == null) return "–";
    if (ms === 0) return "0\u202fms";
    if (ms < 0.9995) return `${digits(ms * 1e3)}\u202fµs`;
    return ms < 999.5 ? `${digits(ms)}\u202fms` : `${digits(ms / 1e3)}\u202fs`;
  };
  const share = (part) => {
    if (part == null) return "–";
    const percent = part * 100;
    return `${percent === 0 ? 0 : percent.toFixed(percent < 0.995 ? 2 : percent < 9.95 ? 1 : 0)}\u202f%`;
  };
  const clock = (at) => new Date(summary.run.started_unix_millis + at * 1000).toISOString().slice(11, 19);
  const offset = (at) => {
    const secs = at - (summary.fault ? summary.fault.at_secs : 0);
    const size = Math.abs(secs).toFixed(1).replace(/\.0$/, "");
    return `${secs > 0 ? "+" : secs < 0 ? "−" : ""}${size}\u202fs`;
  };

  const show = (index) => {
    shown = index;
    for (const panel of panels) {
      const { track } = panel;
      const x = panel.left + ((times[index] - panel.low) / (panel.high - panel.low)) * (panel.right - panel.left);
      panel.cross.setAttribute("d", `M${x.toFixed(1)} 18V184`);
      panel.clock.setAttribute("x", Math.min(x, panel.right + 18).toFixed(1));
      panel.clock.textContent = clock(times[index]);
      panel.readout.textContent =
        `${offset(times[index])} · p50 ${millis(track.p50_ms[index])} · ` +
        `p95 ${millis(track.p95_ms[index])} · errors ${share(track.error_share[index])}`;
    }
  };
  const hide = () => {
    shown = -1;
    for (const panel of panels) {
      panel.cross.removeAttribute("d");
      panel.clock.textContent = "";
      panel.readout.replaceChildren(...panel.resting);
    }
  };
  const nearest = (panel, event) => {
    const box = panel.svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * panel.svg.viewBox.baseVal.width;
    const at = panel.low + ((x - panel.left) / (panel.right - panel.left)) * (panel.high - panel.low);
    let best = 0;
    times.forEach((time, index) => {
      if (Math.abs(time - at) < Math.abs(times[best] - at)) best = index;
    });
    return best;
  };

  for (const panel of panels) {
    panel.svg.tabIndex = 0;
    panel.svg.addEventListener("pointermove", (event) => show(nearest(panel, event)));
    panel.svg.addEventListener("pointerdown", (event) => show(nearest(panel, event)));
    panel.svg.addEventListener("pointerleave", hide);
    panel.svg.addEventListener("blur", hide);
    panel.svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      const from = shown < 0 ? (step > 0 ? -1 : times.length) : shown;
      show(Math.min(times.length - 1, Math.max(0, from + step)));
    });
  }
  // Paper cannot be unfolded.
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => (part.open = true)));
})();
