using System.CommandLine;
using System.Diagnostics;
using GenerateStory.Measuring;
using GenerateStory.Reading;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Vision;

namespace GenerateStory.Stories;

/// <summary><c>GenerateStory</c>: makes a page of pictures with consistent self-attention, and one without.</summary>
internal static class StoryCommand
{
    /// <summary>Gives a command the options and the action.</summary>
    public static RootCommand Create()
    {
        var prompts = new Option<string?>("--prompts")
        {
            Description = "A file of a story: its first line is the character, each further one a picture, with a caption after a '#'.",
        };
        var output = new Option<string>("--output")
        {
            Description = "Where pages and pictures go.",
            DefaultValueFactory = _ => Path.Combine("artifacts", "GenerateStory"),
        };
        var seed = new Option<long>("--seed") { Description = "What noise is drawn from.", DefaultValueFactory = _ => 1 };
        var steps = new Option<int>("--steps")
        {
            Description = "Steps of denoising.",
            DefaultValueFactory = _ => Storyteller.DefaultStepCount,
        };
        var command = new RootCommand("Makes picture stories whose characters stay the same.")
        {
            prompts, output, seed, steps, SharedOptions.Model, SharedOptions.Provider,
        };
        command.SetAction(arguments =>
        {
            var text = arguments.GetValue(prompts) is { } file ? StoryText.Read(file) : StoryText.Example;
            using var teller = new Storyteller(
                arguments.GetValue(SharedOptions.Model)!, arguments.GetValue(SharedOptions.Provider), arguments.GetValue(seed),
                arguments.GetValue(steps));
            Tell(teller, text, Directory.CreateDirectory(arguments.GetValue(output)!).FullName);
        });
        return command;
    }

    private static void Tell(Storyteller teller, StoryText text, string output)
    {
        var clock = Stopwatch.StartNew();
        Console.WriteLine($"{text.Character}: {text.Lines.Count} pictures");
        using var reader = AttributeReader.Open();
        using var consistent = teller.TellConsistently(text);
        Report("consistent", "with consistent self-attention", consistent);
        using var separate = teller.TellSeparately(text);
        Report("separate", "without", separate);

        void Report(string name, string how, Story story)
        {
            foreach (var (i, picture) in story.Pictures.Index())
                picture.Image.Save(Path.Combine(output, $"{name}-{i + 1}.png"));
            foreach (var (i, page) in story.Pages.Index())
                page.Save(Path.Combine(output, story.Pages.Count == 1 ? $"{name}.png" : $"{name}-page-{i + 1}.png"));
            var read = reader.Read(story);
            Console.WriteLine($"{clock.Elapsed.TotalSeconds,5:0.0} s  {name}.png, {how}. The character as the reader sees it in each picture:");
            for (var i = 0; i < PictureAttribute.OfCharacter; i++)
            {
                var attribute = PictureAttribute.All[i];
                var agreement = Agreement.OfPairs([.. read.Select(values => values[i])]);
                Console.WriteLine($"         {attribute.Name,-16} {agreement,4:0%}  {string.Join(", ", read.Select(values => attribute.Values[values[i]]))}");
            }
        }
    }
}
