"""Make every figure with its default knobs and write docs/gallery.md with the pictures, captions and commands.

Usage: python scripts/gallery.py [--data FOLDER] [--output-dir FOLDER] [NAME ...]

Figures that show images use the made data set `shapes`, so that no image of CIFAR-10 is in the repository. Arrays in
the output folder are drawn again and not computed again. Without names all figures are made, otherwise only these; the
page shows all figures that have a picture.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

from ablate.config import catalog

ROOT = Path(__file__).resolve().parents[1]
PAGE, PICTURES = ROOT / "docs" / "gallery.md", ROOT / "docs" / "images" / "figures"
CAPTIONS = PICTURES / "captions.json"
MADE_IMAGES = {"preprocessing", "quantization", "dropout_uncertainty"}  # these show images
MADE = ["data=shapes", "data.num_train=12000"]
WIDTH = 1400  # pixels
COLOURS = 128


def make(name: str, data: str, output_dir: str) -> None:
    """Compute and draw one figure, and keep its picture and caption."""
    source = MADE if name in MADE_IMAGES else [f"data.root={data}"]
    words = [sys.executable, "-m", "ablate", "figure", name, *source, f"output_dir={output_dir}", "trainer.threads=1"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} ended with status {done.returncode}:\n{done.stderr}")
    picture = next(Path(line) for line in done.stdout.splitlines() if line.endswith(f"{name}.png"))
    image = Image.open(picture).convert("RGB")
    image = image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)
    PICTURES.mkdir(parents=True, exist_ok=True)
    image.quantize(COLOURS).save(PICTURES / f"{name}.png", optimize=True)
    captions = json.loads(CAPTIONS.read_text(encoding="utf-8")) if CAPTIONS.exists() else {}
    captions[name] = (picture.parent / "caption.txt").read_text(encoding="utf-8").strip()
    CAPTIONS.write_text(json.dumps(captions, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{name}: {picture}", flush=True)


def write_page(names: list[str]) -> None:
    """Write the page with all pictures that exist."""
    captions = json.loads(CAPTIONS.read_text(encoding="utf-8"))
    lines = [
        "# Figures",
        "",
        "The lecture's figures. `ablate figure NAME` computes one for the net and the data that you choose; here they",
        "have their defaults, on one CPU core. `ablate list figure` describes them and names their sources.",
        "`profile=full` uses the settings of the source, for figures that have this profile; it has not been run.",
        "Written by `scripts/gallery.py`.",
    ]
    for name in names:
        if not (PICTURES / f"{name}.png").exists():
            continue
        description, source = catalog.caption(catalog.folders()[1] / "figure" / f"{name}.yaml")
        made = " " + " ".join(MADE) if name in MADE_IMAGES else ""
        lines += ["", f"## {name}", "", f"{description} Source: {source}", "", f"`ablate figure {name}{made}`", ""]
        lines += [f"![{description}](images/figures/{name}.png)", "", captions[name]]
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--data", default=os.environ.get("ABLATE_DATA", "data"))
    parser.add_argument("--output-dir", default=str(ROOT / "outputs"))
    args = parser.parse_args()
    known = list(catalog.levels(catalog.folders(), "figure"))
    for name in args.names or known:
        make(name, args.data, args.output_dir)
    write_page(known)


if __name__ == "__main__":
    main()
