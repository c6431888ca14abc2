"""What `ablate SUBCOMMAND --help` prints, of the subcommands that keep no text of their own."""

HELP = {
    "list": """\
usage: ablate list [GROUP|LEVEL ...|all]

Describe levels, studies, recipes, claims and figures, with their sources.
Without arguments, print the names of all groups and levels; * is the default.

  ablate list                 every group with its levels
  ablate list activation      a group
  ablate list relu            a level, in each group that has it
  ablate list all             every level of every group

--config-dir DIR              also levels of your own in DIR
""",
    "report": """\
usage: ablate report FOLDER ... [--watch]

Judge the study, or the collection of studies such as the lecture, in each
FOLDER and write its report.html, report.md, verdicts.csv and verdicts.json
again. Nothing is trained; the study may be unfinished.

--watch                       for one study or collection: keep live.html in
                              its folder up to date until all runs are done

  ablate report outputs/studies/activation-1a2b3c4d
  ablate report outputs/studies/activation-1a2b3c4d --watch
""",
    "verify": """\
usage: ablate verify FOLDER|ARCHIVE ...

Compute every verdict again from the records and predictions, check their
SHA-256, the registration, and the q values of a collection's page. Nothing is
written. The exit status is 1 where something differs.

FOLDER is that of a study, of a collection, or one that holds studies. ARCHIVE
is a .zip, .tar.gz or .tar.xz of an output folder; in a folder without studies
the archives in it are verified.

--config-dir DIR              also compare with the study files in DIR

  ablate verify outputs/studies/activation-1a2b3c4d
  ablate verify docs/skips    the records that are kept with the documents
""",
    "map": """\
usage: ablate map study=NAME [output_dir=FOLDER] [out=FOLDER]
       ablate map FOLDER ... [out=FOLDER]

Write the verdicts of a study at every budget that was run (net, data set,
images, epochs) and print where each claim's verdict flips. The files are
map.html, map.md, map.csv, map.svg and map.png.

study=NAME                    every finished study of this name, or of the
                              studies of a page such as the lecture
output_dir=FOLDER             where the runs are (default: outputs)
out=FOLDER                    where the map is written
                              (default: OUTPUT_DIR/maps/NAME)

  ablate map study=lecture
  ablate map outputs/studies/activation-1a2b3c4d FOLDER out=my_map
""",
    "explain": """\
usage: ablate explain CLAIM ...

Say what a claim tests, which runs that takes and how long they take. CLAIM is
a claim's name (`ablate list claim`), or its source in the lecture.

--config-dir DIR              also the claims of the study files in DIR

  ablate explain C16
  ablate explain relu_beats_tanh
""",
    "doctor": """\
usage: ablate doctor

Print what this computer has for training: versions, device, threads, data,
folders, launchers, fonts, each with a cure where something is wrong. The exit
status is 1 where something is wrong that training needs. It has no options.

  ablate doctor
""",
}
