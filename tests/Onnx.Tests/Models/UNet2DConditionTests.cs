using System.Text.Json;
using Microsoft.ML.Attention.Onnx.Goldens;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Surgery;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests.Models;

public class UNet2DConditionTests
{
    private static readonly UNet2DConditionConfig Tiny = new()
    {
        DownBlockTypes = ["DownBlock2D", "CrossAttnDownBlock2D"],
        UpBlockTypes = ["CrossAttnUpBlock2D", "UpBlock2D"],
        BlockOutChannels = [8, 16],
        LayersPerBlock = [1],
        AttentionHeadDim = [2],
        CrossAttentionDim = 12,
        NormNumGroups = 4,
        UseLinearProjection = true,
    };

    [Theory]
    [InlineData("sd15", 859_520_964, 9, "up_blocks.1.attentions.0.transformer_blocks.0.attn1")]
    [InlineData("sdxl_base", 2_567_463_684, 36, "up_blocks.0.attentions.0.transformer_blocks.0.attn1")]
    public void Published_variants_have_the_parameters_and_self_attentions_of_their_checkpoints(
        string variant, long count, int attentions, string first)
    {
        var weights = new RecordedWeights();
        var model = UNet2DCondition.Build(UNet2DCondition.Variants[variant], weights);
        Assert.Equal(count, weights.ParameterCount);
        var layers = ConsistentUnet.Rewrite(model).Layers;
        Assert.Equal(attentions, layers.Count);
        Assert.Equal(first, layers[0].Name);
    }

    [Fact]
    public void Noise_of_the_first_step_of_a_story_is_that_of_the_published_code()
    {
        var path = SharedFolder.Find("goldens/storydiffusion/story_sdxl_tiny_ddim.json");
        using var json = JsonDocument.Parse(File.ReadAllBytes(path));
        using var tensors = SafetensorsFile.Open(Path.ChangeExtension(path, ".safetensors"));
        var root = json.RootElement;
        var config = ConfigFile.Parse<UNet2DConditionConfig>(root.GetProperty("config").GetProperty("unet"));
        var dims = root.GetProperty("parameters").EnumerateObject().ToDictionary(
            parameter => parameter.Name, parameter => parameter.Value.EnumerateArray().Select(dim => dim.GetInt64()).ToArray());
        var model = UNet2DCondition.Build(config, new ReferenceWeights(dims, new Dictionary<string, float>(), 0));

        float[] sample = Input("latents.id"), ids = [.. Enumerable.Repeat<float[]>([128, 192, 0, 0, 128, 192], 6).SelectMany(row => row)];
        float[] text = [.. Repeat(Input("negative_embeds"), 3), .. Input("embeds.id")];
        float[] pooled = [.. Repeat(Input("negative_pooled"), 3), .. Input("embeds.id.pooled")];
        var noise = SessionRunner.Run(model, new Dictionary<string, Tensor>
        {
            ["sample"] = Tensor.Create<float>([.. sample, .. sample], 6, 4, 16, 24),
            ["timestep"] = Tensor.Scalar(tensors.Read("mid:timesteps").AsSpan<float>()[0]),
            ["encoder_hidden_states"] = Tensor.Create<float>(text, 6, 12, 48),
            ["text_embeds"] = Tensor.Create<float>(pooled, 6, 32),
            ["time_ids"] = Tensor.Create<float>(ids, 6, 6),
        })["out_sample"].AsSpan<float>().ToArray();

        var expected = tensors.Read("output:write.noise.0").AsSpan<float>().ToArray();
        for (var i = 0; i < expected.Length; i++)
        {
            var guided = noise[i] + (5 * (noise[i + expected.Length] - noise[i]));
            Assert.Equal(expected[i], guided, 1e-4f);
        }

        float[] Input(string name)
        {
            var input = root.GetProperty("inputs").GetProperty(name);
            return ReferenceValues.Input(
                name, [.. input.GetProperty("shape").EnumerateArray().Select(dim => dim.GetInt64())], 0,
                input.GetProperty("lo").GetDouble(), input.GetProperty("hi").GetDouble()).AsSpan<float>().ToArray();
        }

        static IEnumerable<float> Repeat(float[] values, int count) => Enumerable.Repeat(values, count).SelectMany(row => row);
    }

    [Fact]
    public void Latents_of_any_size_that_halves_evenly_are_taken()
    {
        var model = UNet2DCondition.Build(Tiny, new RandomWeights(1));
        Assert.Equal([2, 4, 6, 10], SessionRunner.Run(model, Inputs(6, 10, Tensor.Scalar(3f)))["out_sample"].Dims);
        var options = new SessionOptions();
        KernelLibrary.Register(options);
        var deep = Tiny with { LayersPerBlock = [2] };
        Assert.Equal([2, 4, 12, 8], SessionRunner.Run(
            UNet2DCondition.Build(deep, new RandomWeights(1)), Inputs(12, 8, Tensor.Scalar(3f)), options)["out_sample"].Dims);
    }

    [Fact]
    public void Every_parameter_has_a_gradient()
    {
        foreach (var config in new[] { Tiny, Tiny with { UseLinearProjection = false } })
        {
            var model = UNet2DCondition.Build(config, new RandomWeights(1));
            foreach (var input in (string[])["H", "W", "T"])
                Fix(model, input, input == "T" ? 5 : 8);
            ParameterGradients.AssertAll(model, Inputs(8, 8, Tensor.Scalar(500f)), "out_sample");
        }

        static void Fix(OnnxModel model, string symbol, long size) => GraphSimplifier.FixSizes(
            model.Graph, new Dictionary<string, long> { [symbol] = size }, model.Functions);
    }

    [Fact]
    public void Trained_it_learns_to_tell_noise_from_a_picture()
    {
        var builder = new GraphBuilder();
        builder.Output("predicted", UNet2DCondition.Net(
            builder.Input("sample", TensorElementType.Float, ["N", 4, 8, 8]), builder.Input("timestep", TensorElementType.Float, ["N"]),
            builder.Input("encoder_hidden_states", TensorElementType.Float, ["N", 5, 12]), Tiny, new(builder, new RandomWeights(1))));
        var graph = TrainingGraph.Build(builder.ToModel(), new Dictionary<string, long> { ["N"] = 8 }, (builder, outputs) =>
        {
            var error = outputs["predicted"] - builder.Input("noise", TensorElementType.Float, [8, 4, 8, 8]);
            return (error * error).ReduceMean([0, 1, 2, 3]);
        });
        using var trainer = new Trainer(graph, seed: 1);
        var random = new Random(1);
        var losses = new List<float>();
        for (var step = 0; step < 60; step++)
        {
            for (var example = 0; example < 8; example++)
            {
                // The picture is flat, of a colour that the text tells; noise is normal.
                var (color, share) = ((random.NextSingle() * 2) - 1, random.NextSingle());
                trainer.Input<float>("timestep")[example] = 1000 * share;
                trainer.Input<float>("encoder_hidden_states").Slice(example * 60, 60).Fill(color);
                for (var i = example * 256; i < (example + 1) * 256; i++)
                {
                    var noise = Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
                    trainer.Input<float>("noise")[i] = (float)noise;
                    trainer.Input<float>("sample")[i] = (float)((Math.Sqrt(1 - share) * color) + (Math.Sqrt(share) * noise));
                }
            }
            losses.Add(trainer.Step(5e-3f));
        }
        Assert.True(losses.TakeLast(10).Average() < 0.6 * losses.Take(5).Average(), string.Join(", ", losses));
    }

    [Fact]
    public void Each_example_may_be_at_a_step_of_its_own()
    {
        var apart = SessionRunner.Run(UNet2DCondition.Build(Tiny, new RandomWeights(1)), Inputs(8, 8, Tensor.Scalar(700f)))["out_sample"];
        var builder = new GraphBuilder();
        builder.Output("out_sample", UNet2DCondition.Net(
            builder.Input("sample", TensorElementType.Float, ["N", 4, 8, 8]), builder.Input("timestep", TensorElementType.Int64, ["N"]),
            builder.Input("encoder_hidden_states", TensorElementType.Float, ["N", 5, 12]), Tiny, new(builder, new RandomWeights(1))));
        var together = SessionRunner.Run(builder.ToModel(), Inputs(8, 8, Tensor.Int64(3, 700)))["out_sample"];
        Assert.Equal(apart.AsSpan<float>()[256..].ToArray(), together.AsSpan<float>()[256..].ToArray(), (a, b) => Math.Abs(a - b) < 1e-5);
        Assert.NotEqual(apart.AsSpan<float>()[0], together.AsSpan<float>()[0], 1e-3f);
    }

    [Fact]
    public void Configurations_are_those_of_diffusers()
    {
        var path = Path.GetTempFileName();
        try
        {
            File.WriteAllText(path, """
                { "_class_name": "UNet2DConditionModel", "_diffusers_version": "0.19.0", "act_fn": "silu", "attention_head_dim": [5, 10, 20],
                  "block_out_channels": [320, 640, 1280], "layers_per_block": 2, "cross_attention_dim": 2048, "upcast_attention": null }
                """);
            var config = UNet2DConditionConfig.Read(path);
            Assert.Equal([5, 10, 20], config.AttentionHeadDim);
            Assert.Equal([2], config.LayersPerBlock);
            Assert.Equal(2048, config.CrossAttentionDim);
            ConfigFile.Write(path, config);
            var written = File.ReadAllText(path);
            Assert.Contains("\"layers_per_block\": 2", written);
            Assert.Contains("\"_class_name\": \"UNet2DConditionModel\"", written);
            Assert.Contains("\"_diffusers_version\": \"0.19.0\"", written);

            File.WriteAllText(path, """{ "class_embed_type": "timestep" }""");
            Assert.Equal("UNet2DConditionConfig: class_embed_type is timestep; supported is null.",
                Assert.Throws<NotSupportedException>(() => UNet2DCondition.Build(UNet2DConditionConfig.Read(path), new RandomWeights(1))).Message);
            File.WriteAllText(path, "[]");
            Assert.Contains("is not the configuration of a UNet2DCondition",
                Assert.Throws<InvalidDataException>(() => UNet2DConditionConfig.Read(path)).Message);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void Contradictory_configurations_are_refused()
    {
        Refused("UNet2DConditionConfig.UpBlockTypes has 1 entries for 2 blocks.", Tiny with { UpBlockTypes = ["UpBlock2D"] });
        Refused("UNet2DConditionConfig.DownBlockTypes has 'AttnDownBlock2D', which is not supported.",
            Tiny with { DownBlockTypes = ["DownBlock2D", "AttnDownBlock2D"] });
        Refused("UNet2DConditionConfig.BlockOutChannels has 16, which does not divide into 3 heads.", Tiny with { AttentionHeadDim = [2, 3] });
        Refused("UNet2DConditionConfig.BlockOutChannels has 8, which does not divide into 3 groups.", Tiny with { NormNumGroups = 3 });

        static void Refused(string message, UNet2DConditionConfig config) =>
            Assert.Equal(message, Assert.Throws<ArgumentException>(() => UNet2DCondition.Build(config, new RandomWeights(1))).Message);
    }

    private static Dictionary<string, Tensor> Inputs(int height, int width, Tensor timestep) => new()
    {
        ["sample"] = RandomTensor.Float(1, 2, 4, height, width),
        ["timestep"] = timestep,
        ["encoder_hidden_states"] = RandomTensor.Float(2, 2, 5, 12),
    };
}
