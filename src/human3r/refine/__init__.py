"""Makes a recording better than a live stream can be: metric scale and still feet from contacts.

Read in this order: ``recording`` (what there is), ``contacts`` (who touches what), ``unknowns``,
``residuals`` (a module per kind), ``problem`` (all together), ``solver``, ``refinement`` (the
schedule), ``acceptance`` (whether it is believed), ``limbs`` (poses over time, a person at a time),
``outcome``, ``result_folder`` (the files).
"""
