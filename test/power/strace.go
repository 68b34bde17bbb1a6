package power

import "strings"

// traced are the calls that change a file or a folder, sync one, or write to a
// socket; with lseek, which moves the place of the next write, and mmap and the
// copying calls, which the replay must see to refuse them.
const traced = "open,openat,creat,write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync," +
	"sync_file_range,sync,syncfs,ftruncate,truncate,rename,renameat,renameat2,unlink,unlinkat," +
	"rmdir,mkdir,mkdirat,link,linkat,symlink,symlinkat,fallocate,copy_file_range,sendfile,splice," +
	"sendto,sendmsg,mmap,lseek,dup,dup2,dup3"

// stringLimit is more than any single write of the server.
const stringLimit = "4194304"

// Strace is the command that goes in front of a server so that its calls are
// recorded in the file log. The server keeps its process id; strace ends when the
// server has ended.
func Strace(program, log string) []string {
	return []string{program, "-D", "-f", "--seccomp-bpf", "-y", "-v", "-s", stringLimit,
		"-e", "signal=kill", "-e", "trace=" + traced, "-o", log}
}

// call is one system call of the record. begin and end are the lines on which it
// was made and on which it returned: the same unless others came in between.
type call struct {
	begin, end int
	name       string
	args       []string
	result     string // "7", "7</data/file>", "-1 ENOENT (...)", "?"
}

func (c *call) failed() bool {
	return strings.HasPrefix(c.result, "-") || strings.HasPrefix(c.result, "?")
}

// arg returns an argument, empty if there is none.
func (c *call) arg(i int) string {
	if i < len(c.args) {
		return c.args[i]
	}
	return ""
}
