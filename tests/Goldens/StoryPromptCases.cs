using System.Text;
using System.Text.Json;
using Microsoft.ML.Attention.Vision;

namespace Microsoft.ML.Attention.Onnx.Goldens;

/// <summary>StoryDiffusion's prompts, captions and styles: everything in the case is text, compared as bytes.</summary>
internal sealed class StoryPromptCases : ComputedCases
{
    private const string App = "app", LowMemory = "low_vram";

    public override IReadOnlyDictionary<string, Tensor> Expect(GoldenCase golden)
    {
        var expected = new Dictionary<string, Tensor>();
        foreach (var part in new[] { App, LowMemory })
        {
            string[] inputs = ["general_prompt", "prompt_array", "id_length"];
            foreach (var entry in golden.Config.GetProperty(part).EnumerateObject().Where(entry => !inputs.Contains(entry.Name)))
                expected[$"output:{part}.{entry.Name}"] = Text(JsonSerializer.Serialize(entry.Value));
        }
        return expected;
    }

    protected override IReadOnlyDictionary<string, Tensor> Compute(GoldenCase golden)
    {
        var styles = golden.Config.GetProperty("styles").EnumerateObject()
            .ToDictionary(style => style.Name, style => new StoryStyle(style.Name, style.Value[0].GetString()!, style.Value[1].GetString()!));
        return new[] { ComputeApp(golden.Config.GetProperty(App), styles), ComputeLowMemory(golden.Config.GetProperty(LowMemory), styles) }
            .SelectMany(outputs => outputs).ToDictionary(output => output.Key, output => Text(JsonSerializer.Serialize(output.Value)));
    }

    private static Dictionary<string, object> ComputeApp(JsonElement config, IReadOnlyDictionary<string, StoryStyle> styles)
    {
        var script = Script(config, identityCount: 1);
        string[] prompts = [.. script.Frames.Select(frame => frame.Prompt)];
        return new()
        {
            [$"{App}.prompts"] = prompts,
            [$"{App}.captions"] = script.Frames.Select(frame => frame.Caption),
            [$"{App}.unknown_style"] = StoryStyle.Find("a style of no name", styles).Positive("x"),
            [$"{App}.styled"] = prompts.Select(Style(config, prompts, styles).Positive),
            [$"{App}.negative"] = Negative(config, Style(config, prompts, styles)),
        };
    }

    private static Dictionary<string, object> ComputeLowMemory(JsonElement config, IReadOnlyDictionary<string, StoryStyle> styles)
    {
        var script = Script(config, config.GetProperty("id_length").GetInt32());
        string[] prompts = [.. script.Frames.Select(frame => frame.Prompt)];
        var present = script.Frames.Select(frame => frame.Characters.Select(character => character.Tag)).ToArray();
        return new()
        {
            [$"{LowMemory}.character_dict"] = script.Characters.ToDictionary(character => character.Tag, character => character.Description),
            [$"{LowMemory}.prompts"] = script.Frames.Select(frame => frame.Line),
            [$"{LowMemory}.replaced"] = prompts,
            [$"{LowMemory}.cur_character"] = present,
            [$"{LowMemory}.character_index"] = script.Characters.ToDictionary(
                character => character.Tag, character => present.Index().Where(frame => frame.Item.Contains(character.Tag)).Select(frame => frame.Index)),
            [$"{LowMemory}.inverse_index"] = present.Index().Where(frame => frame.Item.Any())
                .ToDictionary(frame => frame.Index.ToString(), frame => frame.Item),
            [$"{LowMemory}.ref_index"] = script.IdentityFrames.ToDictionary(entry => entry.Key.Tag, entry => entry.Value),
            [$"{LowMemory}.ref_totals"] = script.IdentityFrames.Values.SelectMany(frames => frames),
            [$"{LowMemory}.styled"] = prompts.Select(Style(config, prompts, styles).Positive),
            [$"{LowMemory}.negative"] = Negative(config, Style(config, prompts, styles)),
        };
    }

    private static StoryScript Script(JsonElement config, int identityCount) => new(
        config.GetProperty("general_prompt").GetString()!,
        config.GetProperty("prompt_array").EnumerateArray().Select(line => line.GetString()!), identityCount);

    // The case does not say which style it used: that which gives the first prompt.
    private static StoryStyle Style(JsonElement config, string[] prompts, IReadOnlyDictionary<string, StoryStyle> styles) =>
        styles.Values.First(style => style.Positive(prompts[0]) == config.GetProperty("styled")[0].GetString());

    // Nor what the user was against: what follows the style's words.
    private static string Negative(JsonElement config, StoryStyle style)
    {
        var negative = config.GetProperty("negative").GetString()!;
        var user = negative.StartsWith(style.NegativePrompt, StringComparison.Ordinal) ? negative[(style.NegativePrompt.Length + 1)..] : "";
        return style.Negative(user);
    }

    private static Tensor Text(string text)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        return Tensor.Create<byte>(bytes, bytes.Length);
    }
}
