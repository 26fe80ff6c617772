"""Commands, options, exit codes, and what they print.

::

    main.py           commands and exit codes
    options.py        what each command takes, and its help
    text.py           definitions, words, studies, measurements and comparisons as plain text
    comparing.py      runs side by side as plain text, seeds as one, and how far they differ
    doctor.py         what this installation is made of, and whether it counts right
    closed_forms.py   ten numbers known on paper, for the doctor
    named_objects.py  what a user names as module:function, called and handed over
"""

from phiscope.cli.main import run_command as run_command
