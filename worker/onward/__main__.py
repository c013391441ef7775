from onward_cli.main import run

run()
