using System.CommandLine;
using GenerateStory;

var command = new RootCommand("Makes picture stories whose characters stay the same.") { DrawCommand.Create(), TrainCommand.Create() };
return command.Parse(args).Invoke();
