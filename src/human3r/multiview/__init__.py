"""Several cameras, one world: who is who across views, and one body of what each of them sees.

Takes people of any stream per view (``view.ViewPeople``) and needs neither images nor a network.
``fuser.Fuser`` is the way in.

Source of the method: CHROMM (arXiv 2603.12789), sections on association and multi-view fusion;
places are weighted by what each view knows, which plain triangulation is not.
"""
