using System.CommandLine;
using System.Diagnostics;
using GenerateStory.Reading;
using GenerateStory.Stories;
using Microsoft.ML.Attention;

namespace GenerateStory.Measuring;

/// <summary>
/// <c>GenerateStory measure</c>: how often characters keep their attributes over stories about characters that no training picture shows, and
/// whether pictures still follow their prompts.
/// </summary>
internal static class MeasureCommand
{
    private const int FirstSeed = 1_600_000_000;

    public static Command Create()
    {
        var stories = new Option<int>("--stories") { Description = "How many stories of five pictures.", DefaultValueFactory = _ => 40 };
        var output = new Option<string?>("--output") { Description = "A file for the table." };
        var command = new Command("measure", "Measures consistency and obedience to prompts, with consistent self-attention and without.")
        {
            stories, output, SharedOptions.Model, SharedOptions.Provider,
        };
        command.SetAction(arguments =>
        {
            var table = Measure(
                arguments.GetValue(SharedOptions.Model)!, arguments.GetValue(SharedOptions.Provider), arguments.GetValue(stories));
            Console.WriteLine(table);
            if (arguments.GetValue(output) is { } file)
                File.WriteAllText(file, table);
        });
        return command;
    }

    private static string Measure(string model, ExecutionProvider provider, int count)
    {
        using var reader = AttributeReader.Open();
        var (consistent, separate) = (new Tally(), new Tally());
        var clock = Stopwatch.StartNew();
        for (var i = 0; i < count; i++)
        {
            using var teller = new Storyteller(model, provider, seed: i);
            var story = HeldBackStory.Draw(FirstSeed + i);
            using (var told = teller.TellConsistently(story.Text))
                consistent.Add(story, reader.Read(told));
            using (var told = teller.TellSeparately(story.Text))
                separate.Add(story, reader.Read(told));
            if ((i + 1) % 10 == 0)
                Console.Error.WriteLine($"{clock.Elapsed:mm\\:ss} {i + 1} stories");
        }
        return new ResultTable(consistent, separate).ToString();
    }
}
