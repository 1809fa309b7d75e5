using System.Text.Json;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Goldens;

/// <summary>RaftMLP: whole models, the backbone, blocks and patch embeddings on their own.</summary>
internal sealed class RaftMlpCases : IGoldenModel
{
    public string Name => "raftmlp";

    public OnnxModel Build(GoldenCase golden)
    {
        switch (golden.Variant)
        {
            case "raft-token-mixing block":
                return Block(golden);
            case "multi-scale patch embedding":
                return Embedding(golden);
            case "DetRaftMLPSmall":
                return Backbone(golden, RaftMlp.Variants["raftmlp_s"]);
        }
        var config = Model(golden.Config);
        var size = golden.Config.GetProperty("image");
        var model = RaftMlp.Build(config, golden.Weights, size[0].GetInt32(), size[1].GetInt32());
        var builder = new GraphBuilder(model.Graph);
        builder.Output("y", builder["logits"]);
        for (var level = 0; level < config.Levels.Count; level++)
        {
            if (golden.Expected.ContainsKey($"mid:level{level}"))
                builder.Output($"mid:level{level}", Last(builder, $"levels.{level}.fn/").ToChannelsFirst());
        }
        return model;
    }

    // The case keeps some channels, rows and columns of each map: "[:, ::8, ::4, ::4] of the full output".
    private static OnnxModel Backbone(GoldenCase golden, RaftMlpConfig config)
    {
        var size = golden.Config.GetProperty("image");
        var model = RaftMlp.BuildBackbone(config, golden.Weights, size[0].GetInt32(), size[1].GetInt32());
        foreach (var (name, channels, places) in new[] { ("f0", 8, 4), ("f1", 8, 2), ("f2", 8, 1), ("f3", 8, 1) })
        {
            var output = model.Graph.Nodes.Find(node => node.Outputs[0] == name)!;
            model.Graph.Nodes.Remove(output);
            model.Graph.Outputs.Remove(name);
            var builder = new GraphBuilder(model.Graph);
            var map = builder[output.Inputs[0]];
            const long end = long.MaxValue;
            builder.Output(name, map.Slice(1, 0, end, channels).Slice(2, 0, end, places).Slice(3, 0, end, places));
        }
        return model;
    }

    // One block on tokens [N, H W, C], with what it computes on the way.
    private static OnnxModel Block(GoldenCase golden)
    {
        var config = golden.Config;
        var (grid, trained) = (Ints(config, "grid")!, Ints(config, "trained_grid")!);
        var (channels, raftSize) = (config.GetProperty("channels").GetInt64(), config.GetProperty("raft_size").GetInt32());
        var model = new RaftMlpConfig
        {
            Levels = [],
            TokenExpansion = config.GetProperty("token_expansion_factor").GetInt32(),
            ChannelExpansion = config.GetProperty("channel_expansion_factor").GetInt32(),
        };
        var builder = new GraphBuilder();
        var parameters = new Parameters(builder, golden.Weights);
        var tokens = builder.Input("x", TensorElementType.Float, ["N", grid[0] * grid[1], channels]);
        var result = RaftMlp.Block(
            tokens.Reshape(0, grid[0], grid[1], channels), model, raftSize, (trained[0], trained[1]), parameters["blk"]);
        builder.Output("y", result.Reshape(0, -1, channels));
        parameters.ThrowIfUnfit();

        var mixings = builder.Graph.Nodes.Where(node => node.OpType == "RaftMixing").ToArray();
        builder.Output("mid:shrink", Columns(builder[mixings[0].Inputs[0]]));
        builder.Output("mid:vertical", Columns(builder[mixings[0].Outputs[0]]));
        builder.Output("mid:horizontal", Rows(builder[mixings[1].Outputs[0]]));
        var expanded = builder.Graph.Nodes.Find(node => node.OpType == "LayerNormalization")!.Inputs[0];
        builder.Output("mid:expand", builder[expanded].Reshape(0, -1, channels));
        return builder.ToModel();

        // [N, H, W, C] to [N, C / r W, r H].
        Value Columns(Value map) => map.Reshape(0, trained[0], trained[1], raftSize, -1).Transpose(0, 4, 2, 3, 1)
            .Reshape(0, channels / raftSize * trained[1], -1);

        // [N H, W, 1, C] to [N, C / r H, r W].
        Value Rows(Value map) => map.Reshape(-1, trained[0], trained[1], raftSize, channels / raftSize).Transpose(0, 4, 1, 3, 2)
            .Reshape(0, channels / raftSize * trained[0], -1);
    }

    private static OnnxModel Embedding(GoldenCase golden)
    {
        var kernels = Ints(golden.Config, "kernels")!;
        var level = new RaftMlpLevel(0, golden.Config.GetProperty("out_channels").GetInt32(), kernels.Min()) { EmbeddingKernels = kernels };
        var builder = new GraphBuilder();
        var parameters = new Parameters(builder, golden.Weights);
        var map = builder.Input("x", TensorElementType.Float, golden.Inputs["x"].Shape.With(0, "N"));
        builder.Output("y", RaftMlp.Embedding(map, level, parameters["emb.fc"]).Reshape(0, -1, level.Width));
        parameters.ThrowIfUnfit();
        return builder.ToModel();
    }

    private static Value Last(GraphBuilder builder, string module) =>
        builder[builder.Graph.Nodes.FindLast(node => node.Name.StartsWith(module, StringComparison.Ordinal))!.Outputs[0]];

    private static RaftMlpConfig Model(JsonElement config)
    {
        var isMultiScale = config.GetProperty("embedding_type").GetString() == "emb_cross_mlp";
        return new()
        {
            InputChannels = config.GetProperty("in_channels").GetInt32(),
            ClassCount = config.GetProperty("num_classes").GetInt32(),
            TrainedSize = config.GetProperty("pretrained_image_size").GetInt32(),
            TokenExpansion = config.GetProperty("token_expansion_factor").GetInt32(),
            ChannelExpansion = config.GetProperty("channel_expansion_factor").GetInt32(),
            Shortcut = config.GetProperty("shortcut").GetBoolean(),
            Mixing = config.GetProperty("token_mixing_type").GetString() switch
            {
                "ser_pm" => RaftMlpMixing.Raft,
                "original_tm" => RaftMlpMixing.Full,
                var other => throw new NotSupportedException($"token_mixing_type '{other}' is not known"),
            },
            Levels =
            [
                .. config.GetProperty("layers").EnumerateArray().Select(layer => new RaftMlpLevel(
                    layer.GetProperty("depth").GetInt32(), layer.GetProperty("dim").GetInt32(), layer.GetProperty("patch_size").GetInt32())
                {
                    RaftSize = layer.TryGetProperty("raft_size", out var raftSize) ? raftSize.GetInt32() : 1,
                    EmbeddingKernels = isMultiScale ? Ints(layer, "embedding_kernels") : null,
                }),
            ],
        };
    }

    private static int[]? Ints(JsonElement config, string name) =>
        config.TryGetProperty(name, out var value) ? [.. value.EnumerateArray().Select(item => item.GetInt32())] : null;
}
