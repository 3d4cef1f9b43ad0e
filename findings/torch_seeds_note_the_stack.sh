#!/usr/bin/env bash
# torch 2.15.0.
#
# torch.manual_seed seeds every kind of device. As long as CUDA, XPU and MTIA have not been used, it keeps the seed for each of
# them for later, and with it the caller's stack as text: three times traceback.format_stack a call, which reads the lines of
# every frame. On a machine without a GPU that time never comes, so that each call pays for it. A training that seeds every
# step (so that an interrupted one draws what an undisturbed one would) paid 1 ms of its 20 ms a step, and more the deeper it
# was called: under a workflow engine and a test runner stacks are deep. torch.default_generator.manual_seed seeds what
# computes on the CPU, gives the same draws, and notes nothing.
#
# Seen: 3 stacks a call of torch.manual_seed, each with all frames of the caller (100 deep: over 100 lines); none by
# torch.default_generator.manual_seed; equal draws.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.15.0 numpy
export CUDA_VISIBLE_DEVICES=
cat > seeds.py <<'PY'
import traceback
import torch

print("torch", torch.__version__)
whole, stacks = traceback.format_stack, []

def noted(*given, **named):
    stacks.append(whole(*given, **named))
    return stacks[-1]

def deep(frames, call):
    return deeper(frames - 1, call) if frames else call()

def deeper(frames, call):  # two in turns: of one that calls itself the text has a line
    return deep(frames - 1, call) if frames else call()

traceback.format_stack = noted
for name, seed in (("torch", torch.manual_seed), ("default_generator", torch.default_generator.manual_seed)):
    for frames in (0, 100):
        stacks.clear()
        deep(frames, lambda: seed(7))
        lines = [len(stack) for stack in stacks]
        print(name, "frames", frames, "stacks", len(lines), "all of them", all(n > frames for n in lines))
    print(name, "draws", torch.rand(3).tolist())
PY
venv/bin/python seeds.py | tee said.txt
grep -q "^torch 2.15.0" said.txt
grep -qx "torch frames 0 stacks 3 all of them True" said.txt
grep -qx "torch frames 100 stacks 3 all of them True" said.txt
grep -qx "default_generator frames 100 stacks 0 all of them True" said.txt
test "$(grep draws said.txt | cut -d' ' -f3- | sort -u | wc -l)" = 1
echo "as stated"
