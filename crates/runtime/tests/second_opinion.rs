//! What a container sees, ours against one of libcontainer's: the two must agree wherever
//! the runtime specification decides.

#![expect(clippy::unwrap_used, reason = "a failed test says where")]
#![expect(dead_code, reason = "the kit serves other tests too")]

mod kit;

use std::process::Command;

use kit::By::Root;

/// Names, numbers and contents, nothing that differs from run to run.
const PROBE: &str = r#"
echo "first process: $$"; id; pwd; env | while read line; do echo "env $line"; done
for key in CapInh CapPrm CapEff CapBnd CapAmb Groups NoNewPrivs; do
    while read name value; do [ "$name" = $key: ] && echo "$name $value"; done < /proc/self/status
done
ls -l /proc/self/ns | while read -r line; do echo "${line##* }"; done | while IFS=: read kind rest; do echo "namespace $kind"; done
cd /dev; for name in null zero full random urandom tty; do stat -c '%n %F %t:%T %a' $name; done
for name in fd stdin stdout stderr ptmx; do stat -c %N $name; done
for path in /proc/acpi /sys/firmware /proc/scsi; do [ -e $path ] && echo "$path: $(ls $path)"; done
for path in /proc/kcore /proc/keys /proc/timer_list; do [ -e $path ] && echo "$path: $(head -c 9 $path)"; done
for path in /proc/sys/kernel/hostname /proc/sysrq-trigger /sys/kernel/profiling /sys/fs/cgroup/x; do
    (echo x > $path) 2>/dev/null && echo "$path can be written"
done
while read -r source target kind options rest; do
    case $target in
        /proc | /sys | /sys/fs/cgroup | /dev/pts | /dev/shm | /dev/mqueue | /proc/sys | /proc/bus | /proc/fs | /proc/irq)
            echo "$target $kind ${options%%,relatime*}";;
    esac
done < /proc/mounts
cat /proc/self/cgroup | while IFS=: read number names path; do [ "$number" = 0 ] && echo "cgroup $path"; done
"#;

fn theirs() -> String {
    let container = kit::script(Root, PROBE);
    // Their root file system is a plain directory.
    std::fs::rename(container.at("lower"), container.at("rootfs")).unwrap();
    std::fs::create_dir(container.at("state")).unwrap();
    let mut program = std::env::current_exe().unwrap();
    program.pop();
    program.pop();
    program.push("examples/second_opinion");
    let output = Command::new(program)
        .arg(container.directory.path())
        .arg(PROBE)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The order of mounts is nobody's business.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn libcontainer_agrees() {
    let ours = kit::script(Root, PROBE).run().succeeded().stdout;
    let theirs = theirs();
    assert!(ours.lines().count() > 40, "{ours}");
    assert_eq!(sorted(&ours), sorted(&theirs));
}
