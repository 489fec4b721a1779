// Evaluated in the page by check_report.py; its value is what the checks read.
(() => {
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const visible = (element) => element.checkVisibility();
  const colour = (text) => (text.match(/[\d.]+/g) || []).map(Number);
  const luminance = ([r, g, b]) => {
    const part = (c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const shade = colour(getComputedStyle(at).backgroundColor);
      if (shade.length === 3 || shade[3] === 1) return shade;
    }
    return [255, 255, 255];
  };
  const contrast = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const own_text = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  const describe = (element) => `<${element.localName} class="${element.getAttribute("class") || ""}"> ${element.textContent.trim().slice(0, 40)}`;

  const faint = all("body *").filter((element) => own_text(element) && visible(element))
    .filter((element) => !element.closest("script, svg:not(.graph):not(.timeline)"))
    .map((element) => {
      const style = getComputedStyle(element);
      const svg = element.closest("svg");
      const box = element.closest(".node")?.querySelector(".box");
      const behind = box ? colour(getComputedStyle(box).fill) : ground(svg ?? element);
      return [contrast(colour(svg ? style.fill : style.color), behind), describe(element)];
    })
    .filter(([ratio]) => ratio < 4.5);

  const page = document.documentElement;
  const wide = all("body *").filter((element) => {
    if (element.parentElement.closest(".scroll, svg") || !visible(element)) return false;
    const box = element.getBoundingClientRect();
    return box.width > 0 && (box.right > page.clientWidth + 0.5 || box.left < -0.5);
  });

  const texts = (selector) => all(selector).filter(visible).map((text) => ({ text, box: text.getBoundingClientRect() }));
  const overlapping = [];
  for (const svg of all("svg.timeline, svg.graph").filter(visible)) {
    const labels = texts("svg text").filter(({ text }) => svg.contains(text));
    const frame = svg.getBoundingClientRect();
    labels.forEach(({ text, box }, at) => {
      if (box.left < frame.left - 1 || box.right > frame.right + 1) overlapping.push(`cut off: ${text.textContent}`);
      const node = text.closest(".node");
      const border = node && node.querySelector(".box").getBoundingClientRect();
      if (border && box.right > border.right + 0.5) overlapping.push(`out of its box: ${text.textContent}`);
      for (const { text: other, box: next } of labels.slice(at + 1)) {
        const across = Math.min(box.right, next.right) - Math.max(box.left, next.left);
        const down = Math.min(box.bottom, next.bottom) - Math.max(box.top, next.top);
        if (across > 1 && down > 4) overlapping.push(`${text.textContent} over ${other.textContent}`);
      }
    });
  }

  return {
    data: document.getElementById("summary").textContent,
    script: all("script:not([type])").map((script) => script.textContent),
    csp: document.querySelector("meta[http-equiv]").content,
    figures: all("[data-at]:not([data-as=line])").map((e) => ({ at: e.dataset.at, as: e.dataset.as, text: e.textContent })),
    lines: all("[data-as=line]").map((path) => ({
      at: path.dataset.at, d: path.getAttribute("d"), ...path.closest("svg").dataset,
    })),
    graphs: all("svg.graph").filter(visible).map((svg) => ({
      nodes: all(".node", svg).length, edges: all(".edge", svg).length, ways: all(".way[d*=C]", svg).length,
    })),
    panels: all("figure[data-track] svg").filter(visible).length,
    marks: { fault: all(".timeline .fault-mark").length, alarm: all(".timeline .alarm-mark").length },
    flame: all("#flame svg rect").filter((box) => box.getBoundingClientRect().width > 0).length,
    tips: all("#flame svg title").map((tip) => tip.textContent),
    sections: all("section").map((s) => s.id),
    unnamed: all("svg[role=img]:not([aria-label]):not([aria-labelledby]), section:not([aria-labelledby])").length,
    width: page.scrollWidth,
    inner: page.clientWidth,
    wide: wide.slice(0, 5).map(describe),
    faint: faint.slice(0, 8),
    overlapping: overlapping.slice(0, 8),
  };
})()
