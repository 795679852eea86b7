"""The network."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from labels import LABELS

# What `drumfs features` writes of a sound: src/audio/features.rs.
BANDS, FRAMES = 64, 64
ATTACK_BANDS, ATTACK_FRAMES = 32, 32
DESCRIPTORS = 63
PICTURE, ATTACK = BANDS * FRAMES, ATTACK_BANDS * ATTACK_FRAMES
VALUES = PICTURE + ATTACK + DESCRIPTORS

EMBEDDING = 96


def block(inputs, outputs, size=3, stride=2):
    """Convolution, normalisation, ReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False), nn.BatchNorm2d(outputs),
                         nn.ReLU())


def dense(inputs, outputs):
    return nn.Sequential(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU())


class Net(nn.Module):
    """Shrinks both pictures to 4 x 4 places and looks at every one of them: where in frequency and when after the onset
    something happens is what tells drums apart. The descriptors come in beside. A first step of stride 4 and few channels
    at the end keep it fast where memory is slow."""

    def __init__(self):
        super().__init__()
        self.picture = nn.Sequential(block(1, 32, 5, 4), block(32, 64), block(64, 128), block(128, 48, 1, 1))
        self.attack = nn.Sequential(block(1, 24, 5, 4), block(24, 48), block(48, 24, 1, 1))
        self.described = dense(DESCRIPTORS, 96)
        self.described_dropout = nn.Dropout(0.2)
        self.dropout = nn.Dropout(0.4)
        self.embedding = dense((48 + 24) * 16 + 96, EMBEDDING)
        self.embedding_dropout = nn.Dropout(0.25)
        self.last = nn.Linear(EMBEDDING, len(LABELS))

    def embed(self, picture, attack, descriptors):
        seen = torch.cat([self.picture(picture).flatten(1), self.attack(attack).flatten(1)], 1)
        described = self.described_dropout(self.described(descriptors))
        return self.embedding(torch.cat([self.dropout(seen), described], 1))

    def forward(self, picture, attack, descriptors):
        return self.last(self.embedding_dropout(self.embed(picture, attack, descriptors)))


class Scaling:
    """Splits what drumfs computes; brings descriptors to zero mean and unit spread, at most 5 from the mean."""

    def __init__(self, descriptors):
        self.mean = descriptors.mean(0)
        self.spread = descriptors.std(0) + 1e-3

    def split(self, values):
        """Values [n, VALUES] as picture [n, 1, 64, 64], attack [n, 1, 32, 32] and descriptors [n, 63]."""
        values = torch.as_tensor(values)
        picture = values[:, :PICTURE].reshape(-1, 1, BANDS, FRAMES).float()
        attack = values[:, PICTURE:PICTURE + ATTACK].reshape(-1, 1, ATTACK_BANDS, ATTACK_FRAMES).float()
        descriptors = (values[:, PICTURE + ATTACK:].float() - torch.as_tensor(self.mean)) / torch.as_tensor(self.spread)
        return picture, attack, descriptors.clamp(-5, 5)


class Exported(nn.Module):
    """The same function from drumfs' values to logits and embedding, normalisation folded in, for inference."""

    def __init__(self, net, scaling):
        super().__init__()
        net = net.eval()
        fold = lambda blocks: nn.Sequential(*[layer for b in blocks for layer in (fuse_conv_bn_eval(b[0], b[1]), nn.ReLU())])
        self.picture, self.attack = fold(net.picture), fold(net.attack)
        self.described = nn.Sequential(fuse_linear_bn_eval(net.described[0], net.described[1]), nn.ReLU())
        self.embedding = nn.Sequential(fuse_linear_bn_eval(net.embedding[0], net.embedding[1]), nn.ReLU())
        self.last = net.last
        self.register_buffer("mean", torch.as_tensor(scaling.mean).float()[None])
        self.register_buffer("gain", 1 / torch.as_tensor(scaling.spread).float()[None])

    def forward(self, values):
        picture = values[:, :PICTURE].reshape(1, 1, BANDS, FRAMES)
        attack = values[:, PICTURE:PICTURE + ATTACK].reshape(1, 1, ATTACK_BANDS, ATTACK_FRAMES)
        descriptors = ((values[:, PICTURE + ATTACK:] - self.mean) * self.gain).clamp(-5, 5)
        seen = [self.picture(picture).flatten(1), self.attack(attack).flatten(1), self.described(descriptors)]
        embedding = self.embedding(torch.cat(seen, 1))
        return self.last(embedding), embedding
