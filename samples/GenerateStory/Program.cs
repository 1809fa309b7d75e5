using GenerateStory;
using GenerateStory.Measuring;
using GenerateStory.Stories;

var command = StoryCommand.Create();
command.Subcommands.Add(MeasureCommand.Create());
command.Subcommands.Add(DrawCommand.Create());
command.Subcommands.Add(TrainCommand.Create());
return command.Parse(args).Invoke();
