"""People on the tokens of a scene of many images: the head of CHROMM, for who wants to train it.

Written from the paper (arXiv 2603.12789): human tokens of a frozen Multi-HMR encoder and scene
tokens of a frozen Pi3X, joined per person; head depth as a residual of the scene's; the pelvis from
coarse to fine; the scale of the scene from torsos. There are no published weights; losses and
training are in ``human3r_lab.training.chromm``.
"""
