"""`tfdvbpr report`: one HTML page on a trained run and the user's own data.

page writes it from REPORT_SECTIONS; sections are made of blocks; facts holds what is measured, once; verdict has RULES,
which say what speaks for or against shipping; html has what every page of this library is made with.
"""
