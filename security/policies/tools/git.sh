# Commits, a merge, a worktree, a clone through git's own transport, packing.
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
mkdir /tmp/git && cd /tmp/git && git init -q -b main one && cd one
for n in 1 2 3; do echo $n >file && git add file && git commit -qm $n; done
git checkout -qb side && echo side >other && git add other && git commit -qm side && git checkout -q main && git merge -q --no-edit side
git worktree add -q ../tree HEAD~1 && git clone -q --no-local /tmp/git/one ../two && cd ../two
git gc -q --aggressive --prune=now && git fsck --no-progress && git log --oneline | wc -l
